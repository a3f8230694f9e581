"""Turns records of every task into conversations, and conversations into learnt tokens.

Classification and multiple choice become a question and its answer. What cannot be used is counted by reason and shown,
never dropped in silence.
"""

import itertools
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from workers.data.records import as_messages
from workers.data.templates import ChatTemplate
from workers.program import Program
from workers.spec.errors import UserError
from workers.spec.record import Message, Record

Tokens = tuple[list[int], list[bool]]
AT_ONCE = 256
"""Conversations that are tokenised together, on several threads."""


@dataclass
class Dropped:
    """Rows that were left out: how many for each reason, and the first of each to look at."""

    counts: Counter[str] = field(default_factory=Counter)
    first: dict[str, str] = field(default_factory=dict)

    def add(self, reason: str, row: str) -> None:
        self.counts[reason] += 1
        self.first.setdefault(reason, row[:300])

    def as_dict(self) -> dict[str, Any]:
        return {"counts": dict(self.counts), "first": self.first}

    @classmethod
    def of(cls, kept: Mapping[str, Any]) -> "Dropped":
        return cls(Counter(kept["counts"]), dict(kept["first"]))

    def report(self, program: Program) -> None:
        for reason, count in self.counts.items():
            program.sample("dropped", reason=reason, count=count, row=self.first[reason])


def conversation_of(record: Record, *, instruction: str | None, system_prompt: str | None) -> list[Message] | str:
    """The conversation to learn, or the name of the field that is missing."""
    messages = as_messages(record, instruction, system_prompt)
    if messages is None:
        return "label" if record.text else "messages"
    if not any(message.role == "assistant" for message in messages):
        return "answer" if record.choices else "messages (an assistant turn)"
    if any(_says_nothing(message) for message in messages):
        return "messages (an answer that is not empty)"
    return messages


def _says_nothing(message: Message) -> bool:
    """An empty answer that would be learnt: the model would learn to stop at once."""
    return message.role == "assistant" and message.train is not False and not (message.content.strip() or message.tool_calls)


def batches(records: Iterable[Record], size: int) -> Iterator[list[Record]]:
    iterator = iter(records)
    while batch := list(itertools.islice(iterator, size)):
        yield batch


def encode_records(
    program: Program, template: ChatTemplate, records: Sequence[Record], dropped: Dropped, **how: Any
) -> list[Tokens]:
    """Tokens and masks of all records that can be learnt. `how`: see `conversation_of`."""
    encoded: list[Tokens] = []
    missing = ""
    for batch in batches(records, AT_ONCE):
        program.check_stop()
        usable: list[tuple[Record, list[Message]]] = []
        for record in batch:
            messages = conversation_of(record, **how)
            if isinstance(messages, str):
                missing = missing or messages
                dropped.add(f"missing {messages}", record.model_dump_json(exclude_none=True))
            else:
                usable.append((record, messages))
        found = template.encode_many((messages, record.tools) for record, messages in usable)
        for (record, _), result in zip(usable, found, strict=True):
            if isinstance(result, UserError):
                dropped.add(result.message, record.model_dump_json(exclude_none=True))
            elif not any(result.train_mask[1:]):
                dropped.add("nothing to learn", record.model_dump_json(exclude_none=True))
            else:
                encoded.append((result.token_ids, result.train_mask))
    if not encoded:
        _refuse(records, dropped, missing)
    return encoded


def _refuse(records: Sequence[Record], dropped: Dropped, missing: str) -> None:
    row = records[0].model_dump_json(exclude_none=True)[:300] if records else ""
    if missing:
        raise UserError(
            "sft.missing_field",
            "No record can be learnt: fine-tuning needs “{field}”, which row {row} has not. "
            "Map a column to it, or choose another dataset.",
            field=missing,
            row=row,
        )
    raise UserError(
        "sft.nothing_supervised",
        "No token of the {count} records would be learnt ({reason}); see the row {row} and give each an assistant answer.",
        count=len(records),
        reason="; ".join(dropped.counts) or "the datasets are empty",
        row=row,
    )


def spans(template: ChatTemplate, tokens: Tokens) -> list[dict[str, Any]]:
    """The example as text in stretches of learnt and not learnt tokens, for the coloured preview."""
    ids, mask = tokens
    pieces: list[dict[str, Any]] = []
    start = 0
    for end in range(1, len(ids) + 1):
        if end == len(ids) or mask[end] != mask[start]:
            text = template.decode(ids[start:end], skip_special_tokens=False)
            pieces.append({"text": text, "train": bool(mask[start]), "tokens": end - start})
            start = end
    return pieces
