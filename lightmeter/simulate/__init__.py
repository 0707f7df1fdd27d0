"""A fleet simulator: scaling policies played on a trace."""
