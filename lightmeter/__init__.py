"""lightmeter meters, alerts on, scales and budgets GPU image-generation services."""
