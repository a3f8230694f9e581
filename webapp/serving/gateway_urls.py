"""The OpenAI-compatible gateway below /v1/."""

from django.urls import URLPattern

urlpatterns: list[URLPattern] = []
