"""App configuration: duties that make the tasks of large projects and tidy old leases."""

from django.apps import AppConfig


class LabelingConfig(AppConfig):
    name = "webapp.labeling"

    def ready(self) -> None:
        from webapp.core.duties import register_duty
        from webapp.datasets.storing import register_source
        from webapp.labeling import exports, prelabeling  # noqa: F401  (registers its job kind)
        from webapp.labeling.learning import quick  # noqa: F401  (registers its job kind)
        from webapp.labeling.learning.advancing import advance_rounds
        from webapp.labeling.services import fill_open_projects
        from webapp.labeling.webhooks import discard_old_deliveries, send_due
        from webapp.labeling.work.queue import discard_expired_leases

        register_source(exports.SOURCE, exports.source_records)
        register_duty("label-tasks", 2, fill_open_projects)
        register_duty("learning-rounds", 1, advance_rounds)
        register_duty("expired-task-leases", 600, discard_expired_leases)
        register_duty("label-webhooks", 2, send_due)
        register_duty("old-webhook-deliveries", 3600, discard_old_deliveries)
