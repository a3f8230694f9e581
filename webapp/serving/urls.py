"""Pages of this app, below /w/<slug>/deployment/."""

from django.urls import path

from webapp.serving import views

urlpatterns = [
    path("", views.deployments, name="deployments"),
    path("deploy/<int:model_id>/", views.deploy_model, name="deploy_model"),
    path("<int:deployment_id>/", views.deployment, name="deployment"),
    path("<int:deployment_id>/badge/", views.deployment_badge, name="deployment_badge"),
    path("<int:deployment_id>/metrics/", views.deployment_metrics, name="deployment_metrics"),
    path("<int:deployment_id>/log/", views.deployment_log, name="deployment_log"),
    path("<int:deployment_id>/usage/", views.deployment_usage, name="deployment_usage"),
    path("<int:deployment_id>/try/", views.deployment_try, name="deployment_try"),
    path("<int:deployment_id>/delete/", views.deployment_delete, name="deployment_delete"),
    path("<int:deployment_id>/<str:action>/", views.deployment_action, name="deployment_action"),
]
