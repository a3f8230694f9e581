"""WebSocket addresses."""

from django.urls import path

from webapp.chat.consumers import ChatConsumer
from webapp.core.consumers import EventsConsumer

websocket_urlpatterns = [
    path("ws/events/", EventsConsumer.as_asgi()),
    path("ws/chat/<int:conversation_id>/", ChatConsumer.as_asgi()),
]
