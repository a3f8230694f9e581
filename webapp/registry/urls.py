"""Pages of this app, below /w/<slug>/."""

from django.urls import URLPattern

urlpatterns: list[URLPattern] = []
