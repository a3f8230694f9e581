"""App configuration."""

from django.apps import AppConfig


class AccountsConfig(AppConfig):
    name = "webapp.accounts"

    def ready(self) -> None:
        from webapp.accounts.access import access_workspace_id
        from webapp.core.events import register_topic

        register_topic("workspace", access_workspace_id)
