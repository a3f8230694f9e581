"""Training in the browser and the API: forms drawn from the specs, checks before the start, runs, figures, comparison."""
