"""Before a run: can the dataset be used by the method, and if not, which field is missing in which row?"""

import itertools
import json
from collections import Counter
from dataclasses import dataclass, field
from typing import Any

from webapp.core.errors import UserError
from webapp.datasets.files import version_path
from webapp.datasets.models import DatasetVersion
from workers.data.records import as_messages, as_text, read_records, slim
from workers.data.templates import ChatTemplate
from workers.spec.record import Message, Record

LOOKED_AT = 200
SHOWN_ROW = 300
PROMPTS = 2
LONGEST_PROMPT = 200
EMPTY_ANSWER = "messages (an answer that is not empty)"


@dataclass
class Check:
    """`usable` of the first `seen` records; `missing`: field → how many lack it."""

    kind: str
    seen: int = 0
    usable: int = 0
    missing: Counter[str] = field(default_factory=Counter)
    rows: dict[str, str] = field(default_factory=dict)
    """Field → the first record that lacks it."""
    with_tools: int = 0
    """Usable records in which a tool is called: those calls are learnt as well (S8.2)."""

    @property
    def worst(self) -> str:
        return self.missing.most_common(1)[0][0] if self.missing else ""

    @property
    def row(self) -> str:
        """The first record that lacks something."""
        return next(iter(self.rows.values()), "")


def first_records(version: DatasetVersion, count: int = LOOKED_AT) -> list[Record]:
    return list(itertools.islice(read_records(version_path(version)), count))


def missing_field(record: Record, kind: str) -> str:
    """The field that keeps this record from being learnt; empty when it can be."""
    if kind in {"pretrain", "tokenizer"}:
        return "" if as_text(record) or record.messages else "text"
    if kind in {"preference", "reward", "kto"}:
        return _missing_preference(record, kind)
    messages = as_messages(record)
    if messages is None:
        return "label" if record.text else "messages"
    if not any(message.role == "assistant" for message in messages):
        return "answer" if record.choices is not None else "messages (an assistant turn)"
    if any(says_nothing(message) for message in messages):
        return EMPTY_ANSWER
    return ""


def says_nothing(message: Message) -> bool:
    """An empty answer that would be learnt: training leaves its record out, or the model would learn to stop at once."""
    return message.role == "assistant" and message.train is not False and not (message.content.strip() or message.tool_calls)


def _missing_preference(record: Record, kind: str) -> str:
    """Pairs need both answers; KTO also takes single answers with a verdict."""
    judged = record.desirable is not None and bool(record.messages) and record.messages[-1].role == "assistant"  # type: ignore[index]
    if kind == "kto" and judged:
        return ""
    if record.chosen and record.rejected:
        return ""
    if kind == "kto":
        return "desirable"
    return "rejected" if record.chosen else "chosen"


def what_is_needed(kind: str, loss: str = "") -> str:
    """The kind of check: KTO has needs of its own."""
    return "kto" if kind == "preference" and loss == "kto" else kind


def check_version(version: DatasetVersion, kind: str, loss: str = "") -> Check:
    check = Check(what_is_needed(kind, loss))
    for record in first_records(version):
        check.seen += 1
        lacking = missing_field(record, check.kind)
        if not lacking:
            check.usable += 1
            check.with_tools += any(message.tool_calls for message in record.messages or [])
            continue
        check.missing[lacking] += 1
        check.rows.setdefault(lacking, row_text(record))
    return check


def row_text(record: Record) -> str:
    return json.dumps(slim(record.model_dump(mode="json")), ensure_ascii=False)[:SHOWN_ROW]


def require_usable(version: DatasetVersion, kind: str, loss: str = "") -> Check:
    """UserError when none of the first records can be learnt."""
    check = check_version(version, kind, loss)
    if check.seen == 0:
        raise UserError("train.empty_dataset", "“{name}” has no records; choose another dataset.", name=str(version))
    if not check.usable:
        raise UserError(
            f"{kind}.missing_field",
            {
                **dict.fromkeys(
                    ("preference", "reward", "grpo"),
                    "“{name}” cannot be learnt from: this method needs “{field}”, which row {row} has not. "
                    "Map a column to it, or choose another dataset.",
                ),
                "sft": "“{name}” cannot be learnt from: fine-tuning needs “{field}”, which row {row} has not. "
                "Map a column to it, or choose another dataset.",
                "pretrain": "“{name}” cannot be learnt from: pre-training needs “{field}”, which row {row} has not. "
                "Map a column to it, or choose another dataset.",
                "tokenizer": "“{name}” cannot be learnt from: a tokenizer needs “{field}”, which row {row} has not. "
                "Map a column to it, or choose another dataset.",
            }[kind],
            name=str(version),
            field=check.worst,
            row=check.row,
        )
    return check


def question_of(record: Record) -> str:
    """The first thing that a user says in a record, if it is short enough to show."""
    messages = as_messages(record) or []
    question = next((message.content for message in messages if message.role == "user"), "")
    return question if 0 < len(question) <= LONGEST_PROMPT else ""


def sample_prompts(version: DatasetVersion) -> list[str]:
    """A few questions of the dataset, to watch the answers change during training."""
    questions = dict.fromkeys(filter(None, map(question_of, first_records(version))))
    return list(itertools.islice(questions, PROMPTS))


def rendered(template: ChatTemplate, record: Record, instruction: str | None, system_prompt: str | None) -> list[dict[str, Any]]:
    """A record as stretches of text, each learnt or not: what the run will show, before it starts."""
    messages: list[Message] | None = as_messages(record, instruction, system_prompt)
    return stretches(template, messages, record) if messages else []


def rendered_pair(template: ChatTemplate, record: Record, system_prompt: str | None) -> list[list[dict[str, Any]]]:
    """The chosen and the rejected answer after their conversation; only the answers' own tokens are compared."""
    asked = [message.model_copy(update={"train": False}) for message in record.messages or []]
    if record.desirable is not None and not record.chosen:
        asked, answers = asked[:-1], [(record.messages or [])[-1:]]
    else:
        answers = [record.chosen or [], record.rejected or []]
    if system_prompt and (not asked or asked[0].role != "system"):
        asked.insert(0, Message(role="system", content=system_prompt))
    return [stretches(template, [*asked, *answer], record) for answer in answers if answer]


def stretches(template: ChatTemplate, messages: list[Message], record: Record) -> list[dict[str, Any]]:
    encoded = template.encode(messages, record.tools)
    pieces = []
    tokens = list(zip(encoded.token_ids, encoded.train_mask, strict=True))
    for learnt, group in itertools.groupby(tokens, key=lambda token: token[1]):
        ids = [token_id for token_id, _ in group]
        pieces.append({"text": template.decode(ids, skip_special_tokens=False), "train": learnt, "tokens": len(ids)})
    return pieces
