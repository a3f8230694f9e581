"""What people agreed on, put into the records: several annotations become one answer, and an answer becomes part of a record."""

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from webapp.labeling.models import Annotation, LabelProject, Task
from webapp.labeling.schema import ANSWER_SOURCE
from workers.spec.record import Record

CHUNK = 1000


def task_outcomes(project: LabelProject) -> Iterator[tuple[Task, dict[str, Any] | None]]:
    """Every task in order with its agreed answers by question; None where nobody has answered.

    Read in portions by position, so that an export of any size holds no transaction open and little memory.
    """
    position = -1
    while True:
        tasks = list(Task.objects.filter(project=project, position__gt=position).order_by("position")[:CHUNK])
        if not tasks:
            return
        position = tasks[-1].position
        given: dict[int, list[Annotation]] = {}
        submitted = Annotation.objects.filter(task__in=tasks, is_current=True, skipped=False).order_by("pk")
        for annotation in submitted:
            given.setdefault(annotation.task_id, []).append(annotation)
        for task in tasks:
            annotations = given.get(task.pk)
            yield task, agreed(project, annotations) if annotations else None


def agreed(project: LabelProject, annotations: Sequence[Annotation]) -> dict[str, Any]:
    """Choices by majority (a tie goes to what was said first), texts from the last who wrote one; surplus ones count least."""
    counted = [each for each in annotations if not each.surplus] or list(annotations)
    answers: dict[str, Any] = {}
    for field in project.schema["fields"]:
        values = [answer["value"] for each in counted for answer in each.value if answer["q"] == field["name"]]
        if not values:
            continue
        if field["type"] == "text":
            answers[field["name"]] = values[-1]
        elif field.get("multiple"):
            votes = Counter(choice for value in values for choice in value)
            known = [choice["value"] for choice in field["choices"]]
            answers[field["name"]] = [choice for choice in known if 2 * votes[choice] > len(values)]
        else:
            answers[field["name"]] = Counter(values).most_common(1)[0][0]
    return answers


def labelled_records(project: LabelProject) -> Iterable[Record]:
    """The records that somebody has answered, with the answers in their places."""
    for task, answers in task_outcomes(project):
        if answers is not None:
            yield Record.model_validate(apply_answers(project.schema, task.data, answers))


def apply_answers(schema: dict[str, Any], data: dict[str, Any], answers: dict[str, Any]) -> dict[str, Any]:
    """The first single choice becomes the label, a corrected text goes where it came from, a new one becomes the answer.

    What has no place of its own is kept in `extra` under the question's name.
    """
    record = dict(data)
    extra = dict(record.get("extra") or {})
    label_field = next((f["name"] for f in schema["fields"] if f["type"] == "choice" and not f.get("multiple")), None)
    has_answer = False
    for field in schema["fields"]:
        name = field["name"]
        if name not in answers:
            continue
        if name == label_field:
            record["label"] = answers[name]
        elif field["type"] == "text" and field.get("source") == "text":
            record["text"] = answers[name]
        elif field["type"] == "text" and not has_answer and field.get("source") in {None, ANSWER_SOURCE}:
            record["messages"] = _with_answer(record, answers[name])
            has_answer = True
        else:
            extra[name] = answers[name]
    if has_answer:
        record.pop("text", None)
    if extra:
        record["extra"] = extra
    return record


def _with_answer(record: dict[str, Any], answer: str) -> list[dict[str, Any]]:
    """The conversation with its last answer replaced or added; a text becomes the question."""
    messages = [dict(message) for message in record.get("messages") or []]
    if not messages:
        messages = [{"role": "user", "content": record.get("text") or ""}]
    last = max((index for index, message in enumerate(messages) if message["role"] == "assistant"), default=None)
    if last is not None and messages[last].get("content"):
        messages[last]["content"] = answer
    else:
        messages.append({"role": "assistant", "content": answer})
    return messages
