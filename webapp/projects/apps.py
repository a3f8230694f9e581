"""App configuration: what the demo suggests to ask."""

from django.apps import AppConfig


class ProjectsConfig(AppConfig):
    name = "webapp.projects"

    def ready(self) -> None:
        from webapp.chat.suggestions import register
        from webapp.projects.demo import suggestions

        register(suggestions)
