"""App configuration: the topic of a deployment, and the duty that keeps engines alive."""

from django.apps import AppConfig


class ServingConfig(AppConfig):
    name = "webapp.serving"

    def ready(self) -> None:
        from webapp.core.duties import register_duty
        from webapp.core.events import register_topic
        from webapp.registry.lineage import register_descendants
        from webapp.serving.access import access_deployment
        from webapp.serving.queries import deployment_nodes
        from webapp.serving.watching import watch_engines

        register_topic("deployment", access_deployment)
        register_descendants("deployments", deployment_nodes)
        register_duty("watch-engines", 0.5, watch_engines)
