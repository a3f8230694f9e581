"""Pages of this app, below /w/<slug>/labelling/."""

from django.urls import path

from webapp.labeling import views

urlpatterns = [
    path("", views.project_list, name="labeling"),
    path("new/", views.project_new, name="label_project_new"),
    path("new/preview/", views.project_preview, name="label_project_preview"),
    path("<int:project_id>/", views.project_page, name="label_project"),
    path("<int:project_id>/work/", views.work_page, name="label_work"),
    path("<int:project_id>/edit/", views.project_edit, name="label_project_edit"),
    path("<int:project_id>/open/", views.project_open, name="label_project_open"),
    path("<int:project_id>/choices/", views.project_choice, name="label_project_choice"),
    path("<int:project_id>/delete/", views.project_delete, name="label_project_delete"),
    path("<int:project_id>/export/", views.project_export, name="label_project_export"),
    path("<int:project_id>/version/", views.project_version, name="label_project_version"),
    path("<int:project_id>/figures/<str:field>/", views.project_figure, name="label_project_figure"),
]
