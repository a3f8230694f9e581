"""The door to jobs."""

from webapp.accounts.access import access_owned
from webapp.accounts.models import Role, User
from webapp.jobs.models import Job


def access_job(user: User, job_id: int, *, role: str = Role.VIEWER) -> Job:
    return access_owned(user, Job, job_id, role=role)
