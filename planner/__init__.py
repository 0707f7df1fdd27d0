"""The planner: usage history in, priced advice out."""
