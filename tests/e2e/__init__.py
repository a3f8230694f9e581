"""Real processes, real Redis, a real browser."""
