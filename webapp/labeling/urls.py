"""Pages of this app, below /w/<slug>/labelling/."""

from django.urls import path

from webapp.labeling import flow_views, views
from webapp.labeling.learning import views as learning_views

urlpatterns = [
    path("", views.project_list, name="labeling"),
    path("new/", views.project_new, name="label_project_new"),
    path("<int:project_id>/", views.project_page, name="label_project"),
    path("<int:project_id>/work/", views.work_page, name="label_work"),
    path("<int:project_id>/edit/", views.project_edit, name="label_project_edit"),
    path("<int:project_id>/open/", views.project_open, name="label_project_open"),
    path("<int:project_id>/choices/", views.project_choice, name="label_project_choice"),
    path("<int:project_id>/delete/", views.project_delete, name="label_project_delete"),
    path("<int:project_id>/export/", views.project_export, name="label_project_export"),
    path("<int:project_id>/version/", views.project_version, name="label_project_version"),
    path("<int:project_id>/figures/<str:field>/", views.project_figure, name="label_project_figure"),
    path("<int:project_id>/flow/", views.project_flow, name="label_project_flow"),
    path("<int:project_id>/people/", flow_views.people_page, name="label_people"),
    path("<int:project_id>/people/role/", flow_views.role_set, name="label_role"),
    path("<int:project_id>/people/assign/", flow_views.tasks_assign, name="label_assign"),
    path("<int:project_id>/people/unassign/", flow_views.tasks_unassign, name="label_unassign"),
    path("<int:project_id>/people/resume/", flow_views.person_resume, name="label_resume"),
    path("<int:project_id>/gold/", flow_views.gold_make, name="label_gold"),
    path("<int:project_id>/review/", flow_views.review_page, name="label_review"),
    path("<int:project_id>/disputes/", flow_views.disputes_page, name="label_disputes"),
    path("<int:project_id>/agreement/", flow_views.agreement_page, name="label_agreement"),
    path("<int:project_id>/dashboard/", flow_views.dashboard_page, name="label_dashboard"),
    path("<int:project_id>/dashboard/<str:name>/", flow_views.dashboard_figure, name="label_dashboard_figure"),
    path("<int:project_id>/prelabel/", flow_views.prelabel_start, name="label_prelabel"),
    path("<int:project_id>/learning/", learning_views.learning_page, name="label_learning"),
    path("<int:project_id>/learning/start/", learning_views.round_start, name="label_learn"),
    path("<int:project_id>/learning/plan/", learning_views.plan_set, name="label_learn_plan"),
    path("<int:project_id>/learning/cancel/", learning_views.round_cancel, name="label_learn_cancel"),
    path("<int:project_id>/learning/accuracy/", learning_views.accuracy_figure, name="label_learning_accuracy"),
    path("<int:project_id>/gold/task/", flow_views.task_gold, name="label_task_gold"),
    path("<int:project_id>/webhooks/", flow_views.webhooks_page, name="label_webhooks"),
    path("<int:project_id>/webhooks/add/", flow_views.webhook_add, name="label_webhook_add"),
    path("<int:project_id>/webhooks/delete/", flow_views.webhook_delete, name="label_webhook_delete"),
    path("<int:project_id>/webhooks/again/", flow_views.delivery_again, name="label_webhook_again"),
    path("<int:project_id>/reorder/", flow_views.tasks_reorder, name="label_reorder"),
]
