"""The Django project: everything that a request touches. Never imports torch."""
