"""App configuration: the topic of a conversation, and the duty that returns lost turns."""

from django.apps import AppConfig


class ChatConfig(AppConfig):
    name = "webapp.chat"

    def ready(self) -> None:
        from webapp.chat.access import access_chats, access_conversation
        from webapp.chat.leases import return_lost_turns
        from webapp.core.duties import register_duty
        from webapp.core.events import register_topic

        register_topic("conversation", access_conversation)
        register_topic("chats", access_chats)
        register_duty("lost-turns", 1, return_lost_turns)
