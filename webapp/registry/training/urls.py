"""Pages of training, below /w/<slug>/training/."""

from django.urls import path

from webapp.registry.training import planner_views, recipe_views, sweep_views, views

urlpatterns = [
    path("", views.run_list, name="training"),
    path("new/<str:kind>/", views.run_new, name="training_new"),
    path("check/<str:kind>/", views.run_check, name="training_check"),
    path("planner/", planner_views.planner, name="planner"),
    path("planner/measure/", planner_views.planner_measure, name="planner_measure"),
    path("planner/panel/<str:kind>/", planner_views.planner_panel, name="planner_panel"),
    path("compare/", views.compare, name="training_compare"),
    path("compare/figures/<str:name>/", views.compare_figure, name="training_compare_figure"),
    path("new/<str:kind>/sweep/", sweep_views.sweep_new, name="training_sweep_new"),
    path("sweeps/", sweep_views.sweep_list, name="training_sweeps"),
    path("sweeps/<int:sweep_id>/", sweep_views.sweep_page, name="training_sweep"),
    path("sweeps/<int:sweep_id>/figure/", sweep_views.sweep_figure, name="training_sweep_figure"),
    path("sweeps/<int:sweep_id>/cancel/", sweep_views.sweep_cancel, name="training_sweep_cancel"),
    path("throughput/", views.run_throughput, name="training_throughput"),
    path("throughput/figures/<str:name>/", views.run_throughput_figure, name="training_throughput_figure"),
    path("new/<str:kind>/recipe/", recipe_views.recipe_read, name="training_recipe"),
    path("runs/<int:job_id>/recipe/", recipe_views.recipe_write, name="training_recipe_file"),
    path("runs/<int:job_id>/recipe/xtuner/", recipe_views.recipe_write, {"program": "xtuner"}, name="training_recipe_xtuner"),
    path("runs/<int:job_id>/note/", views.run_note, name="training_note"),
    path("runs/<int:job_id>/lighter/", views.run_lighter, name="training_lighter"),
    path("runs/<int:job_id>/advice/", views.run_advice, name="training_advice"),
    path("runs/<int:job_id>/hardest/", views.run_hardest, name="training_hardest"),
    path("runs/<int:job_id>/reading/", views.run_reading, name="training_reading"),
    path("runs/<int:job_id>/examples/", views.run_examples, name="training_examples"),
    path("runs/<int:job_id>/figures/<str:name>/", views.run_figure, name="training_figure"),
]
