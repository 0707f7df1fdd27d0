"""Dashboards as code: five linked boards for Grafana or the live page, and what checks them."""
