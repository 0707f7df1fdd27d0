"""The exporter: what the GPUs and the host are doing, under the names that dashboards know."""
