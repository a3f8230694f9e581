"""The first examples as the model will see them, before anything is started: their text, which of it is learnt, and which rows
cannot be learnt and why."""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any

from django.utils.translation import gettext_noop as noop

from webapp.accounts.models import User, Workspace
from webapp.core.errors import UserError, translate
from webapp.datasets.models import DatasetVersion
from webapp.registry.access import access_ready_model
from webapp.registry.inputs import model_folder
from webapp.registry.models import Model, ModelKind
from webapp.registry.services import TRAINABLE
from webapp.registry.training.checks import Check, first_records, missing_field, rendered, rendered_pair, row_text
from webapp.registry.training.wording import LACKS
from workers.data.templates import ChatTemplate, load_template
from workers.spec.record import Record

SHOWN = 4
MOST_TEXT = 200_000
"""Characters of records that are tokenised for a look; at least one record is."""
PAIRS = {"preference", "reward", "kto"}


@lru_cache(maxsize=8)
def _template(folder: Path, _changed: int) -> ChatTemplate:
    return load_template(folder)


def template_of(model: Model) -> ChatTemplate:
    """The template that training with this base will use."""
    base = model.base if model.kind == ModelKind.ADAPTER and model.base is not None else model
    folder = model_folder(base)
    return _template(folder, folder.stat().st_mtime_ns)


@dataclass(frozen=True)
class Example:
    """One record: `answers` is a conversation's stretches of text alone, or those of the chosen and of the rejected answer."""

    answers: list[list[dict[str, Any]]]
    good: bool | None = None
    """The verdict on a single answer."""

    @property
    def tokens(self) -> int:
        """Of the longest answer with its conversation."""
        return max(sum(int(piece["tokens"]) for piece in spans) for spans in self.answers)

    @property
    def learnt(self) -> int:
        return sum(int(piece["tokens"]) for spans in self.answers for piece in spans if piece["train"])


@dataclass
class Preview:
    """What training would see of the first records. `unfit`: reason → how many; `rows`: reason → the first of them."""

    is_pair: bool = False
    is_default: bool = False
    seen: int = 0
    examples: list[Example] = field(default_factory=list)
    usable: int = 0
    tokens: int = 0
    learnt: int = 0
    longest: int = 0
    unfit: Counter[str] = field(default_factory=Counter)
    rows: dict[str, str] = field(default_factory=dict)
    error: str = ""

    @property
    def spans(self) -> list[dict[str, Any]]:
        return self.examples[0].answers[0] if self.examples and not self.is_pair else []

    @property
    def mean(self) -> float:
        return self.tokens / self.usable if self.usable else 0.0

    @property
    def learnt_share(self) -> float:
        return self.learnt / self.tokens if self.tokens else 0.0

    def refuse(self, reason: str, record: Record) -> None:
        self.unfit[reason] += 1
        self.rows.setdefault(reason, row_text(record))

    def add(self, example: Example) -> None:
        self.usable += 1
        self.tokens += sum(int(piece["tokens"]) for spans in example.answers for piece in spans)
        self.learnt += example.learnt
        self.longest = max(self.longest, example.tokens)
        if len(self.examples) < SHOWN:
            self.examples.append(example)


def preview(
    user: User,
    workspace: Workspace,
    version: DatasetVersion,
    base_id: int,
    *,
    kind: str = "sft",
    instruction: str | None = None,
    system_prompt: str | None = None,
    max_length: int | None = None,
) -> Preview:
    """Render and tokenise the first records as training would. `kind`: as `checks.what_is_needed`."""
    found = Preview(is_pair=kind in PAIRS)
    try:
        model = access_ready_model(user, workspace, base_id, kinds=TRAINABLE)
        template = template_of(model)
    except UserError as error:
        found.error = translate(error.template, error.params)
        return found
    found.is_default = template.is_default
    limit = min(filter(None, (model.context_length, max_length)), default=None)
    for record in _a_few(first_records(version)):
        found.seen += 1
        if missing_field(record, kind):
            continue  # the check of the fields counts these
        try:
            example = _example(template, record, kind, instruction, system_prompt)
        except UserError as error:
            found.refuse(translate(error.template, error.params), record)
            continue
        if trouble := _trouble(example, found.is_pair, limit):
            found.refuse(translate(*trouble), record)
        else:
            found.add(example)
    return found


def _a_few(records: list[Record]) -> Iterator[Record]:
    size = 0
    for record in records:
        yield record
        size += sum(len(message.content) for message in record.messages or []) + len(record.text or "")
        if size > MOST_TEXT:
            return


def _example(template: ChatTemplate, record: Record, kind: str, instruction: str | None, system_prompt: str | None) -> Example:
    if kind in PAIRS:
        answers = rendered_pair(template, record, system_prompt)
        return Example(answers, record.desirable if len(answers) == 1 else None)
    return Example([rendered(template, record, instruction, system_prompt)])


def _trouble(example: Example, is_pair: bool, limit: int | None) -> tuple[str, dict[str, Any]] | None:
    """Why training leaves this example out, if it does."""
    if not all(any(piece["train"] for piece in spans) for spans in example.answers):
        return noop("nothing in it would be learnt"), {}
    if is_pair and len(example.answers) == 2 and example.answers[0] == example.answers[1]:
        return noop("the chosen and the rejected answer are the same"), {}
    if limit is not None and example.tokens > limit:
        return noop("longer than {limit} tokens"), {"limit": limit}
    return None


@dataclass(frozen=True)
class LeftOut:
    """Records of a dataset that training would leave out: why, how many, and the first of them."""

    reason: str
    count: int
    row: str


def left_out(check: Check, looked: Preview | None) -> list[LeftOut]:
    """What the check of the fields and the look through the template found, the most frequent first."""
    found = [LeftOut(translate(LACKS.get(name, name), {}), count, check.rows[name]) for name, count in check.missing.items()]
    if looked is not None:
        found += [LeftOut(reason, count, looked.rows[reason]) for reason, count in looked.unfit.items()]
    return sorted(found, key=lambda item: -item.count)
