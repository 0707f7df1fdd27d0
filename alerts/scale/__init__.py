"""The scaler as it runs: looks, decides, writes down, acts."""
