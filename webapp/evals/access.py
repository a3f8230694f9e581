"""The door to suites and evaluations."""

from webapp.accounts.access import access_owned
from webapp.accounts.models import Role, User
from webapp.evals.models import Evaluation, Suite


def access_suite(user: User, suite_id: int, *, role: str = Role.VIEWER) -> Suite:
    return access_owned(user, Suite, suite_id, role=role)


def access_evaluation(user: User, evaluation_id: int, *, role: str = Role.VIEWER) -> Evaluation:
    return access_owned(user, Evaluation, evaluation_id, role=role)
