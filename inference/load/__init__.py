"""Load on any OpenAI-shaped image endpoint, and what came of it."""
