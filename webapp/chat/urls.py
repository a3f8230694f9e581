"""Pages of this app, below /w/<slug>/chat/."""

from django.urls import path

from webapp.chat import views

urlpatterns = [
    path("", views.chat, name="chat"),
    path("<int:conversation_id>/", views.conversation, name="conversation"),
    path("<int:conversation_id>/change/", views.conversation_change, name="conversation_change"),
    path("<int:conversation_id>/delete/", views.conversation_delete, name="conversation_delete"),
]
