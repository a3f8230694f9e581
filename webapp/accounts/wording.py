"""What audit rows say to a reader: `dataset.create` is “created the dataset”. A row keeps the code, which scripts search for."""

import re

from django.utils.translation import gettext_noop as noop
from django.utils.translation import pgettext as in_context

from webapp.accounts.models import AuditEntry, Role

JOB = re.compile(r"^job (\d+) \(\w+\): ")
VERBS = {
    "accept": noop("accepted"),
    "add": noop("added"),
    "add_choice": noop("added a choice to"),
    "add_endpoint": noop("added the endpoint"),
    "adjudicate": noop("decided"),
    "approve": noop("approved"),
    "archive": noop("archived"),
    "assign": noop("assigned"),
    "cancel": noop("cancelled"),
    "clone": noop("copied"),
    "close": noop("closed"),
    "create": noop("created"),
    "delete": noop("deleted"),
    "export": noop("exported"),
    "import": noop("imported"),
    "merge": noop("merged"),
    "open": noop("opened"),
    "pause": noop("paused"),
    "priority": noop("changed the priority of"),
    "publish": noop("published"),
    "reject": noop("rejected"),
    "remove": noop("removed"),
    "rename": noop("renamed"),
    "replace_key": noop("replaced the key of"),
    "reset": noop("reset"),
    "restart": noop("restarted"),
    "restore": noop("restored"),
    "resume": noop("resumed"),
    "review": noop("reviewed"),
    "revoke": noop("revoked"),
    "run": noop("ran"),
    "save": noop("saved"),
    "start": noop("started"),
    "stop": noop("stopped"),
    "submit": noop("started"),
    "unassign": noop("took back"),
    "update": noop("changed"),
}
THINGS = {
    "annotation": noop("the annotation"),
    "dataset": noop("the dataset"),
    "deployment": noop("the deployment"),
    "evaluation": noop("the evaluation"),
    "invitation": noop("an invitation as"),
    "job": noop("the job"),
    "key": noop("the API key"),
    "label_project": noop("the label project"),
    "member": noop("the member"),
    "model": noop("the model"),
    "pipeline": noop("the pipeline"),
    "record": noop("the record"),
    "suite": noop("the suite"),
    "sweep": noop("the sweep"),
    "task": noop("the task"),
    "version": noop("the version"),
    "view": noop("the view"),
    "workspace": noop("the workspace"),
}
SENTENCES = {
    "dataset.delete_version": noop("deleted the version"),
    "dataset.version": noop("made the version"),
    "dataset.process": noop("processed the dataset"),
    "label_project.gold": noop("set the gold answers of"),
    "label_project.learn": noop("let a model learn from the labels of"),
    "label_project.learn_cancel": noop("stopped the learning in"),
    "label_project.learn_plan": noop("changed when models learn in"),
    "label_project.predict": noop("pre-labelled"),
    "label_project.reorder": noop("changed the order of"),
    "label_project.resume_person": noop("let somebody go on in"),
    "label_project.role": noop("changed a role in"),
    "label_project.webhook": noop("changed the webhooks of"),
    "label_task.gold": noop("set the gold answer of"),
    "run.note": noop("wrote a note on the run"),
    "member.join": noop("joined:"),
    "member.role": noop("changed the role of"),
    "model.add_endpoint": noop("added the endpoint"),
}


TOGETHER = noop("{did} {thing}")


def _said(text: str) -> str:
    """In the catalogue these words have a context of their own: “stopped” is a state elsewhere."""
    return in_context("audit", text)


def audit_words(action: str) -> str:
    """What was done, in the reader's language; an action that nobody has put into words keeps its code."""
    if action in SENTENCES:
        return _said(SENTENCES[action])
    thing, _, verb = action.partition(".")
    if thing not in THINGS or verb not in VERBS:
        return action
    return _said(TOGETHER).format(did=_said(VERBS[verb]), thing=_said(THINGS[thing]))


def audit_line(entry: AuditEntry) -> dict[str, str]:
    """One row of the page: what was done, to which thing, and what became of it."""
    roles = dict(Role.choices)
    # A job writes itself as “job 7 (sft): name”, which says the thing twice and its kind as a code.
    name = JOB.sub(r"#\1 ", entry.subject)
    subject = str(roles.get(entry.subject, entry.subject)) if entry.action == "invitation.create" else name
    outcome = ""
    if entry.action == "member.role":
        given = entry.details.get("role", "")
        outcome = _said(VERBS["remove"]) if given == "removed" else str(roles.get(given, given))
    return {"words": audit_words(entry.action), "subject": subject, "outcome": outcome}
