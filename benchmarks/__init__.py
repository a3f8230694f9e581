"""One script per figure that the README or a goal quotes; each prints JSON lines."""
