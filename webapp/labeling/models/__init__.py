"""Label projects, their tasks, what was answered, and who is told. Other rooms import from here."""

from webapp.labeling.models.answers import Adjudication, AgreementCount, Annotation, Help, Review, ReviewState
from webapp.labeling.models.learning import LIVE_ROUNDS, LearningPlan, LearningRound, RoundState
from webapp.labeling.models.projects import Contribution, DailyCount, LabelCount, LabelProject, OverlapMode, ProjectMember
from webapp.labeling.models.tasks import Assignment, Draft, Prediction, PredictionSource, Task, TaskLease
from webapp.labeling.models.webhooks import Delivery, Webhook

__all__ = [
    "LIVE_ROUNDS",
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
    "LearningPlan",
    "LearningRound",
    "OverlapMode",
    "Prediction",
    "PredictionSource",
    "ProjectMember",
    "Review",
    "ReviewState",
    "RoundState",
    "Task",
    "TaskLease",
    "Webhook",
]
