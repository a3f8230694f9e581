"""Processing a version into a cleaner one, and spot checks of what is in a version."""
