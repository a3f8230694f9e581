"""Pages of models, below /w/<slug>/models/."""

from django.urls import path

from webapp.registry import views

urlpatterns = [
    path("", views.model_list, name="models"),
    path("import/", views.model_import, name="model_import"),
    path("starter/", views.model_starter, name="model_starter"),
    path("endpoint/", views.model_endpoint, name="model_endpoint"),
    path("exports/<int:job_id>/", views.model_export_file, name="model_export_file"),
    path("<int:model_id>/", views.model_page, name="model"),
    path("<int:model_id>/edit/", views.model_edit, name="model_edit"),
    path("<int:model_id>/key/", views.model_key, name="model_key"),
    path("<int:model_id>/delete/", views.model_delete, name="model_delete"),
    path("<int:model_id>/export/", views.model_export, name="model_export"),
    path("<int:model_id>/merge/", views.model_merge, name="model_merge"),
]
