"""Pages of this app, below /w/<slug>/data/."""

from django.urls import path

from webapp.datasets import views

urlpatterns = [
    path("", views.dataset_list, name="datasets"),
    path("new/", views.dataset_new, name="dataset_new"),
    path("import/", views.dataset_import, name="dataset_import"),
    path("import/preview/", views.import_preview, name="dataset_import_preview"),
    path("<int:dataset_id>/", views.dataset_page, name="dataset"),
    path("<int:dataset_id>/upload/", views.version_new, name="dataset_version_new"),
    path("<int:dataset_id>/edit/", views.dataset_edit, name="dataset_edit"),
    path("<int:dataset_id>/delete/", views.dataset_delete, name="dataset_delete"),
    path("versions/<int:version_id>/", views.version_page, name="dataset_version"),
    path("versions/<int:version_id>/records/<int:position>/", views.record_page, name="dataset_record"),
    path("versions/<int:version_id>/figures/<str:name>/", views.version_figure, name="dataset_figure"),
    path("versions/<int:version_id>/download/", views.version_download, name="dataset_download"),
    path("versions/<int:version_id>/errors/", views.version_errors, name="dataset_errors"),
    path("versions/<int:version_id>/split/", views.version_split, name="dataset_split"),
    path("versions/<int:version_id>/delete/", views.version_delete, name="dataset_version_delete"),
]
