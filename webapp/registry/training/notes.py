"""Notes and tags on runs."""

import re

from webapp.accounts.models import Role, User, Workspace
from webapp.accounts.services import record_audit
from webapp.core.errors import NotFound, UserError
from webapp.jobs.access import access_job
from webapp.jobs.models import Job
from webapp.registry.models import RunNote
from webapp.registry.training.runs import RUN_KINDS

LONGEST_NOTE = 10_000
MOST_TAGS = 12


def tag_words(text: str) -> list[str]:
    """Words between commas or spaces, each once, in the order given."""
    words = (word.strip().lower()[:30] for word in re.split(r"[,，\s]+", text))
    return list(dict.fromkeys(word for word in words if word))


def write_note(*, user: User, job_id: int, text: str, tags: str) -> RunNote:
    """Replace the note and the tags of a run."""
    job = access_job(user, job_id, role=Role.ANNOTATOR)
    if job.kind not in RUN_KINDS:
        raise NotFound
    words = tag_words(tags)
    if len(words) > MOST_TAGS:
        raise UserError("run.many_tags", "A run has at most {limit} tags; drop some.", status=422, limit=MOST_TAGS)
    if len(text) > LONGEST_NOTE:
        raise UserError(
            "run.long_note", "The note is longer than {limit} characters; shorten it.", status=422, limit=LONGEST_NOTE
        )
    values = {"text": text.strip(), "tags": f",{','.join(words)}," if words else "", "changed_by": user}
    note, _ = RunNote.objects.update_or_create(job=job, defaults=values)
    record_audit(actor=user, workspace=job.workspace, action="run.note", subject=str(job))
    return note


def note_of(job: Job) -> RunNote | None:
    return RunNote.objects.filter(job=job).first()


def workspace_tags(workspace: Workspace) -> list[str]:
    """All tags in use, in alphabetical order."""
    rows = RunNote.objects.filter(job__workspace=workspace).exclude(tags="").values_list("tags", flat=True)[:500]
    return sorted({word for row in rows for word in row.split(",") if word})
