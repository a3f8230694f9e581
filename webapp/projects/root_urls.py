"""Pages outside any workspace: the start page and the API documentation."""

from django.urls import URLPattern

urlpatterns: list[URLPattern] = []
