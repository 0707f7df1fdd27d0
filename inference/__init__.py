"""The inference server: pictures out, and every second, byte and failure accounted for."""
