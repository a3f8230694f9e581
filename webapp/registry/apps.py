"""App configuration."""

from django.apps import AppConfig


class RegistryConfig(AppConfig):
    name = "webapp.registry"

    def ready(self) -> None:
        from webapp.registry import kinds  # noqa: F401
        from webapp.registry.training import kinds as training_kinds  # noqa: F401
