"""App configuration: the import job, and the duties that finish or tidy what was left lying."""

from django.apps import AppConfig


class DatasetsConfig(AppConfig):
    name = "webapp.datasets"

    def ready(self) -> None:
        from webapp.core.duties import register_duty
        from webapp.datasets import derived_kinds, fetching, kinds  # noqa: F401  (register the job kinds)
        from webapp.datasets.building import resume_abandoned
        from webapp.datasets.processing import kinds as processing_kinds  # noqa: F401  (registers its job kind)
        from webapp.datasets.uploads import discard_stale_uploads

        register_duty("abandoned-versions", 30, resume_abandoned)
        register_duty("stale-uploads", 3600, discard_stale_uploads)
