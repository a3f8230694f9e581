"""App configuration: the topic of a job, and the duties that keep the queue moving."""

from django.apps import AppConfig


class JobsConfig(AppConfig):
    name = "webapp.jobs"

    def ready(self) -> None:
        from webapp.core.duties import register_duty
        from webapp.core.events import register_topic
        from webapp.jobs.access import access_job
        from webapp.jobs.leases import ensure_slots, return_lost_leases
        from webapp.jobs.workers_alive import say_alive

        register_topic("job", access_job)
        register_duty("device-slots", 60, ensure_slots)
        register_duty("say-alive", 5, say_alive)
        register_duty("lost-leases", 1, return_lost_leases)
