"""Pages of evaluation, below /w/<slug>/evaluation/."""

from django.urls import path

from webapp.evals import views

urlpatterns = [
    path("", views.overview, name="evaluations"),
    path("suites/new/", views.suite_new, name="suite_new"),
    path("suites/<int:suite_id>/", views.suite_page, name="suite"),
    path("suites/<int:suite_id>/figure/", views.suite_figure, name="suite_figure"),
    path("suites/<int:suite_id>/leaderboard.csv", views.suite_csv, name="suite_csv"),
    path("suites/<int:suite_id>/run/", views.suite_run, name="suite_run"),
    path("suites/<int:suite_id>/edit/", views.suite_edit, name="suite_edit"),
    path("suites/<int:suite_id>/delete/", views.suite_delete, name="suite_delete"),
    path("runs/<int:evaluation_id>/", views.evaluation_page, name="evaluation"),
    path("runs/<int:evaluation_id>/samples/", views.evaluation_samples, name="evaluation_samples"),
    path("runs/<int:evaluation_id>/delete/", views.evaluation_delete, name="evaluation_delete"),
]
