"""The one WebSocket for live events: a page subscribes to topics that its user may see."""

from typing import Any

from channels.db import database_sync_to_async
from channels.generic.websocket import AsyncJsonWebsocketConsumer

from webapp.core.events import group_name, may_listen
from webapp.core.recent_news import had_news_within

MAXIMUM_TOPICS = 200
CLOSE_ANONYMOUS = 4401


class EventsConsumer(AsyncJsonWebsocketConsumer):
    """In: {"type": "subscribe", "topic": "job.7", "age": milliseconds} and {"type": "unsubscribe", "topic"}.

    Out: {"topic", "payload"} and {"subscribed": topic}. `age` is how old the page is; news since then, which nobody heard,
    are told at once with the payload {"resumed": true}.
    """

    async def connect(self) -> None:
        self.topics: set[str] = set()
        user = self.scope.get("user")
        if user is None or not user.is_authenticated:
            await self.accept()
            await self.close(code=CLOSE_ANONYMOUS)
            return
        await self.accept()

    async def disconnect(self, code: int) -> None:
        for topic in self.topics:
            await self.channel_layer.group_discard(group_name(topic), self.channel_name)

    async def receive_json(self, content: Any, **kwargs: Any) -> None:
        topic = str(content.get("topic", "")) if isinstance(content, dict) else ""
        if not topic:
            return
        if content.get("type") == "unsubscribe":
            if topic in self.topics:
                self.topics.discard(topic)
                await self.channel_layer.group_discard(group_name(topic), self.channel_name)
            return
        allowed = await database_sync_to_async(may_listen)(self.scope["user"], topic)
        if not allowed or len(self.topics) >= MAXIMUM_TOPICS:
            await self.send_json({"refused": topic[:100]})
            return
        self.topics.add(topic)
        await self.channel_layer.group_add(group_name(topic), self.channel_name)
        await self.send_json({"subscribed": topic})
        age = content.get("age")
        if isinstance(age, int) and age >= 0 and await database_sync_to_async(had_news_within)(topic, age):
            await self.send_json({"topic": topic, "payload": {"resumed": True}})

    async def topic_news(self, message: dict[str, Any]) -> None:
        await self.send_json({"topic": message["topic"], "payload": message["payload"]})

    @classmethod
    async def decode_json(cls, text_data: str) -> Any:
        try:
            return await super().decode_json(text_data)
        except (ValueError, RecursionError):
            return {}
