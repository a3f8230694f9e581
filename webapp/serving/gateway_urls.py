"""The OpenAI-compatible gateway below /v1/."""

from django.urls import path

from webapp.serving import gateway

urlpatterns = [
    path("v1/models", gateway.models, name="gateway_models"),
    path("v1/models/<path:name>", gateway.model, name="gateway_model"),
    path("v1/chat/completions", gateway.chat_completions, name="gateway_chat"),
    path("v1/completions", gateway.completions, name="gateway_completions"),
    path("v1/embeddings", gateway.embeddings, name="gateway_embeddings"),
    path("v1/<path:rest>", gateway.unknown, name="gateway_unknown"),
]
