"""Preferences as documents: each answer after its conversation, learnt in its own tokens only.

Pairs lie side by side (chosen 2i, rejected 2i + 1). For KTO every answer has a partner that ends with somebody else's
answer, from which the divergence from the reference is estimated.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TypeVar

import numpy as np

from workers.data.templates import ChatTemplate
from workers.program import Program
from workers.spec.errors import UserError
from workers.spec.record import Message, Record
from workers.train import held_out
from workers.train.examples import Dropped, Tokens
from workers.train.packing import Documents

Found = TypeVar("Found")


@dataclass(frozen=True)
class Pairs:
    """`documents` holds two for each unit; `good`: for single answers, whether each is a good one."""

    documents: Documents
    good: np.ndarray | None = None

    def __len__(self) -> int:
        return len(self.documents) // 2

    @property
    def lengths(self) -> np.ndarray:
        return self.documents.lengths.reshape(-1, 2).sum(1)

    def select(self, units: np.ndarray) -> "Pairs":
        return Pairs(self.documents.select(both(units)), None if self.good is None else self.good[units])

    def split(self, fraction: float, seed: int) -> tuple["Pairs", "Pairs"]:
        """(learnt, held out); all answers to one question fall on the same side."""
        first = np.arange(len(self)) * 2
        aside = held_out.choose(map(self._question, first), self.lengths, fraction, seed)
        return self.select(np.flatnonzero(~aside)), self.select(np.flatnonzero(aside))

    def _question(self, index: int) -> np.ndarray:
        start, end = self.documents.starts[index], self.documents.starts[index + 1]
        asked = int(np.argmax(self.documents.learnt[start:end]))
        return self.documents.tokens[start : start + asked]


def both(units: np.ndarray) -> np.ndarray:
    """The two documents of each unit, side by side."""
    return (2 * units[:, None] + np.arange(2)).reshape(-1)


def encode_pairs(
    program: Program, template: ChatTemplate, records: Sequence[Record], dropped: Dropped, system_prompt: str | None
) -> list[tuple[Tokens, Tokens]]:
    """(chosen, rejected) of all records that have both. What cannot be used is counted in `dropped`."""
    found: list[tuple[Tokens, Tokens]] = []
    for number, record in enumerate(records):
        if number % 200 == 0:
            program.check_stop()
        row = record.model_dump_json(exclude_none=True)
        lacking = [name for name in ("chosen", "rejected") if not getattr(record, name)]
        if lacking:
            dropped.add(f"missing {lacking[0]}", row)
            continue
        try:
            pair = [_encode(template, record, answer or [], system_prompt) for answer in (record.chosen, record.rejected)]
        except UserError as error:
            dropped.add(error.message, row)
            continue
        if pair[0] == pair[1]:
            dropped.add("chosen and rejected are the same", row)
        elif any(not any(mask[1:]) for _, mask in pair):
            dropped.add("nothing to learn", row)
        else:
            found.append((pair[0], pair[1]))
    return _require(found, records, dropped, "chosen and rejected")


def encode_verdicts(
    program: Program, template: ChatTemplate, records: Sequence[Record], dropped: Dropped, system_prompt: str | None
) -> list[tuple[Tokens, bool]]:
    """(answer, whether it is good): from verdicts on single answers, and from pairs, which are two verdicts."""
    found: list[tuple[Tokens, bool]] = []
    for number, record in enumerate(records):
        if number % 200 == 0:
            program.check_stop()
        row = record.model_dump_json(exclude_none=True)
        cases = list(_verdicts(record))
        if not cases:
            dropped.add("missing desirable", row)
        for question, answer, good in cases:
            try:
                ids, mask = _encode(template, record.model_copy(update={"messages": question}), answer, system_prompt)
            except UserError as error:
                dropped.add(error.message, row)
                continue
            if any(mask[1:]):
                found.append(((ids, mask), good))
            else:
                dropped.add("nothing to learn", row)
    return _require(found, records, dropped, "desirable")


def _verdicts(record: Record) -> Iterable[tuple[list[Message], list[Message], bool]]:
    messages = record.messages or []
    if record.desirable is not None and messages and messages[-1].role == "assistant":
        yield messages[:-1], messages[-1:], record.desirable
    if record.chosen and record.rejected:
        yield messages, record.chosen, True
        yield messages, record.rejected, False


def conversation(record: Record, answer: Sequence[Message], system_prompt: str | None) -> list[Message]:
    """A record's messages, none of them learnt, and then the answer."""
    asked = [message.model_copy(update={"train": False}) for message in record.messages or []]
    if system_prompt and (not asked or asked[0].role != "system"):
        asked.insert(0, Message(role="system", content=system_prompt))
    return [*asked, *answer]


def _encode(template: ChatTemplate, record: Record, answer: list[Message], system_prompt: str | None) -> Tokens:
    encoded = template.encode(conversation(record, answer, system_prompt), record.tools)
    return encoded.token_ids, encoded.train_mask


def _require(found: list[Found], records: Sequence[Record], dropped: Dropped, field: str) -> list[Found]:
    if found:
        return found
    raise UserError(
        "preference.missing_field",
        "No record can be learnt ({reason}): this method needs “{field}”, which row {row} has not. "
        "Map columns to it, or choose another dataset.",
        reason="; ".join(dropped.counts) or "the datasets are empty",
        field=field,
        row=records[0].model_dump_json(exclude_none=True)[:300] if records else "",
    )


def pair_up(answers: Sequence[tuple[Tokens, bool]], seed: int) -> Pairs:
    """Single answers, each with a partner: its own question with the answer to another one."""
    order = np.random.default_rng(seed).permutation(len(answers))
    partner = np.empty(len(answers), dtype=np.int64)
    partner[order] = np.roll(order, 1)
    rows: list[Tokens] = []
    for index, (tokens, _) in enumerate(answers):
        rows += [tokens, _with_answer_of(tokens, answers[partner[index]][0])]
    return Pairs(Documents.of(rows), np.array([good for _, good in answers], dtype=bool))


def _with_answer_of(own: Tokens, other: Tokens) -> Tokens:
    (ids, mask), (other_ids, other_mask) = own, other
    asked, begins = mask.index(True), other_mask.index(True)
    room = max(len(ids), asked + 1) - asked  # never longer than the answer it stands for, so that it fits as well
    rest_ids, rest_mask = other_ids[begins : begins + room], other_mask[begins : begins + room]
    return ids[:asked] + rest_ids, mask[:asked] + rest_mask
