"""The serving engines behind one OpenAI-compatible HTTP server: `python -m workers.engine engine.json`."""
