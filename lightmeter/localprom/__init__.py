"""Metrics on one machine without a server beside: scrape, keep, ask in PromQL, evaluate rules."""
