"""Label projects, their tasks, what was answered, and who is told. Other rooms import from here."""

from webapp.labeling.models.answers import Adjudication, AgreementCount, Annotation, Help, Review, ReviewState
from webapp.labeling.models.projects import Contribution, DailyCount, LabelCount, LabelProject, OverlapMode, ProjectMember
from webapp.labeling.models.tasks import Assignment, Draft, Prediction, PredictionSource, Task, TaskLease
from webapp.labeling.models.webhooks import Delivery, Webhook

__all__ = [
    "Adjudication",
    "AgreementCount",
    "Annotation",
    "Assignment",
    "Contribution",
    "DailyCount",
    "Delivery",
    "Draft",
    "Help",
    "LabelCount",
    "LabelProject",
    "OverlapMode",
    "Prediction",
    "PredictionSource",
    "ProjectMember",
    "Review",
    "ReviewState",
    "Task",
    "TaskLease",
    "Webhook",
]
