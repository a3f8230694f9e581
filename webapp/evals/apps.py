"""App configuration."""

from django.apps import AppConfig


class EvalsConfig(AppConfig):
    name = "webapp.evals"

    def ready(self) -> None:
        from webapp.evals import kinds  # noqa: F401
        from webapp.evals.lineage import evaluations_of
        from webapp.registry.lineage import register_descendants

        register_descendants("evaluations", evaluations_of)
