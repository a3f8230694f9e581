"""Pages of this app, below /w/<slug>/data/."""

from django.urls import path

from webapp.datasets import change_views, media_views, record_views, views

urlpatterns = [
    path("", views.dataset_list, name="datasets"),
    path("search/", views.record_search, name="record_search"),
    path("composition/", views.workspace_figure, name="dataset_composition"),
    path("new/", views.dataset_new, name="dataset_new"),
    path("fetch/", views.dataset_fetch, name="dataset_fetch"),
    path("import/", views.dataset_import, name="dataset_import"),
    path("import/preview/", views.import_preview, name="dataset_import_preview"),
    path("<int:dataset_id>/", views.dataset_page, name="dataset"),
    path("<int:dataset_id>/upload/", views.version_new, name="dataset_version_new"),
    path("<int:dataset_id>/edit/", views.dataset_edit, name="dataset_edit"),
    path("<int:dataset_id>/delete/", views.dataset_delete, name="dataset_delete"),
    path("versions/<int:version_id>/", record_views.version_page, name="dataset_version"),
    path("versions/<int:version_id>/overview/", record_views.version_overview, name="dataset_overview"),
    path("versions/<int:version_id>/views/", record_views.view_save, name="dataset_view_save"),
    path("versions/<int:version_id>/views/<int:view_id>/delete/", record_views.view_delete, name="dataset_view_delete"),
    path("versions/<int:version_id>/records/<int:position>/", record_views.record_page, name="dataset_record"),
    path("versions/<int:version_id>/figures/<str:name>/", record_views.version_figure, name="dataset_figure"),
    path("versions/<int:version_id>/media/<str:sha256>", media_views.version_media, name="dataset_media"),
    path("versions/<int:version_id>/download/", record_views.version_download, name="dataset_download"),
    path("versions/<int:version_id>/errors/", record_views.version_errors, name="dataset_errors"),
    path("versions/<int:version_id>/compare/", change_views.version_compare, name="dataset_compare"),
    path("versions/<int:version_id>/change/", change_views.version_change, name="dataset_change"),
    path("versions/<int:version_id>/undo/", change_views.version_undo, name="dataset_undo"),
    path("versions/<int:version_id>/split/", change_views.version_split, name="dataset_split"),
    path("versions/<int:version_id>/delete/", change_views.version_delete, name="dataset_version_delete"),
]
