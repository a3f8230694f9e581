"""The home page of a workspace."""

from django.urls import path

from webapp.projects import views

urlpatterns = [
    path("", views.home, name="home"),
]
