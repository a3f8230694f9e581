"""What people agreed on, put into the records: several annotations become one answer, and an answer becomes part of a record."""

import statistics
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from webapp.labeling.models import Adjudication, Annotation, LabelProject, ReviewState, Task
from webapp.labeling.schema import ANSWER_SOURCE
from workers.data.preferences import compared_answers
from workers.spec.record import Record

CHUNK = 1000


def task_outcomes(project: LabelProject) -> Iterator[tuple[Task, dict[str, Any] | None]]:
    """Every task in order with its agreed answers by question; None where nobody has answered. What a reviewer sent back
    does not count until it is answered again.

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
        for annotation in submitted.exclude(review=ReviewState.REJECTED):
            given.setdefault(annotation.task_id, []).append(annotation)
        decided = dict(Adjudication.objects.filter(task__in=tasks, is_current=True).values_list("task_id", "value"))
        for task in tasks:
            yield task, _outcome(project, task, decided.get(task.pk), given.get(task.pk))


def _outcome(project: LabelProject, task: Task, decided: Any, given: list[Annotation] | None) -> dict[str, Any] | None:
    """What was adjudicated counts, then the known answer of a gold question, then what people agreed on."""
    known = decided if decided is not None else task.gold
    if known is not None:
        return {answer["q"]: answer["value"] for answer in known}
    return agreed(project, given) if given else None


def agreed(project: LabelProject, annotations: Sequence[Annotation]) -> dict[str, Any]:
    """One answer to each question, by `agreed_answer`; surplus annotations count only where there are no others."""
    counted = [each for each in annotations if not each.surplus] or list(annotations)
    answers: dict[str, Any] = {}
    for field in project.schema["fields"]:
        values = [answer["value"] for each in counted for answer in each.value if answer["q"] == field["name"]]
        if values:
            answers[field["name"]] = agreed_answer(field, values)
    return answers


def agreed_answer(field: dict[str, Any], values: Sequence[Any]) -> Any:
    """What several answers come to: the majority of choices (a tie goes to what was said first), the median of figures.

    What cannot be averaged (texts, marks, conversations) is taken from the last who answered.
    """
    kind = field["type"]
    if kind == "pairwise" or (kind == "choice" and not field.get("multiple")):
        return Counter(values).most_common(1)[0][0]
    if kind == "choice":
        votes = Counter(choice for value in values for choice in value)
        known = [choice["value"] for choice in field["choices"]]
        return [choice for choice in known if 2 * votes[choice] > len(values)]
    if kind in {"number", "rating"}:
        return statistics.median_low(values)
    if kind == "tree":
        places = Counter(tuple(path) for value in values for path in value)
        most = [path for path, count in places.items() if 2 * count > len(values)]
        return [list(path) for path in most or [places.most_common(1)[0][0]]]
    return values[-1]


def is_held_out(task: Task, percent: int) -> bool:
    """Whether a task belongs to the share that is not learnt from: the same ones every time, spread over the project."""
    return task.position * 37 % 100 < percent


def labelled_records(project: LabelProject, *, held_out: int = 0) -> Iterable[Record]:
    """The records that somebody has answered, with the answers in their places, without `held_out` percent of them."""
    for task, answers in task_outcomes(project):
        if answers is not None and not is_held_out(task, held_out):
            yield Record.model_validate(apply_answers(project.schema, task.data, answers))


def apply_answers(schema: dict[str, Any], data: dict[str, Any], answers: dict[str, Any]) -> dict[str, Any]:
    """The first single choice becomes the label, a corrected text goes where it came from, a new one becomes the answer,
    a dialogue the conversation, a preference between two responses the chosen and the rejected one.

    Everything else stands in `annotations`, in the shape of labelling.
    """
    record = dict(data)
    kept = [answer for answer in record.get("annotations") or [] if answer["q"] not in answers]
    label_field = next((f["name"] for f in schema["fields"] if f["type"] == "choice" and not f.get("multiple")), None)
    text_field = next(
        (f["name"] for f in schema["fields"] if f["type"] == "text" and f.get("source") in {None, ANSWER_SOURCE}), None
    )
    for field in schema["fields"]:
        name = field["name"]
        if name not in answers:
            continue
        answer = answers[name]
        if name == label_field:
            record["label"] = answer
        elif field["type"] == "text" and field.get("source") == "text":
            record["text"] = answer
        elif name == text_field and _is_answer(field, record):
            record["messages"] = _with_answer(record, answer)
            record.pop("text", None)
        elif field["type"] == "dialogue":
            record["messages"] = answer
        else:
            _apply_preference(record, field, answer)
            kept.append({"q": name, "type": field["type"], "value": answer})
    if kept:
        record["annotations"] = kept
    return record


def _is_answer(field: dict[str, Any], record: dict[str, Any]) -> bool:
    """A text without a source is an answer to a text or a conversation, but a remark on pictures and responses."""
    return field.get("source") == ANSWER_SOURCE or not (record.get("media") or compared_answers(record))


def _apply_preference(record: dict[str, Any], field: dict[str, Any], answer: Any) -> None:
    """Two responses in order become a preference pair; ties and more responses stay in the annotations only."""
    responses = compared_answers(record)
    if len(responses) != 2 or not record.get("messages"):
        return
    if field["type"] == "pairwise" and answer in {"a", "b"}:
        best = 0 if answer == "a" else 1
    elif field["type"] == "ranking" and len(answer) == 2:
        best = 0 if str(responses[0]["id"]) == answer[0][0] else 1
    else:
        return
    for part, index in (("chosen", best), ("rejected", 1 - best)):
        record[part] = [{"role": "assistant", "content": responses[index].get("content", "")}]


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
