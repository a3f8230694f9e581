"""Pages outside any workspace: the way in and the API documentation."""

from django.urls import path

from webapp.projects import views

urlpatterns = [
    path("", views.start, name="start"),
    path("api/docs/", views.api_docs, name="api_docs"),
]
