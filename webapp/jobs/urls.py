"""Pages of jobs, below /w/<slug>/jobs/."""

from django.urls import path

from webapp.jobs import views

urlpatterns = [
    path("", views.job_list, name="jobs"),
    path("<int:job_id>/", views.job_page, name="job"),
    path("<int:job_id>/log/", views.job_log, name="job_log"),
    path("<int:job_id>/figures/<str:names>/", views.job_figure, name="job_figure"),
    path("<int:job_id>/artifacts/<str:name>/", views.job_artifact, name="job_artifact"),
    path("<int:job_id>/priority/<str:step>/", views.job_priority, name="job_priority"),
    path("<int:job_id>/delete/", views.job_delete, name="job_delete"),
    path("<int:job_id>/<str:action>/", views.job_action, name="job_action"),
]
