"""Alert rules and autoscaling hooks."""
