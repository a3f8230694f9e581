"""Pages of processing and of spot checks, below /w/<slug>/data/."""

from django.urls import path

from webapp.datasets.processing import spot_views, views

urlpatterns = [
    path("versions/<int:version_id>/process/", views.process, name="processing"),
    path("versions/<int:version_id>/process/preview/", views.process_preview, name="processing_preview"),
    path("versions/<int:version_id>/processing/", views.report, name="processing_report"),
    path("versions/<int:version_id>/processing/figures/<str:name>/", views.report_figure, name="processing_figure"),
    path("versions/<int:version_id>/processing/dropped/", views.report_dropped, name="processing_dropped"),
    path("versions/<int:version_id>/spot-checks/", spot_views.spot_checks_of_version, name="spot_checks"),
    path("spot-checks/<int:check_id>/", spot_views.spot_check, name="spot_check"),
    path("spot-checks/<int:check_id>/history/", spot_views.spot_history, name="spot_history"),
]
