"""Canonical records: reading and writing them as JSON lines, their digests, and what a model is shown of them."""

import hashlib
import json
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from workers.spec.errors import UserError
from workers.spec.record import Message, Record


def read_records(path: Path) -> Iterator[Record]:
    """The records of a canonical file, in order. Raises UserError with the line that is no record."""
    with path.open("rb") as file:
        for number, line in enumerate(file, start=1):
            if not line.strip():
                continue
            try:
                yield Record.model_validate_json(line)
            except ValidationError as error:
                raise UserError(
                    "dataset.broken_record",
                    "Line {line} of {file} is no record: {detail}. Import the dataset again.",
                    line=number,
                    file=path.name,
                    detail=str(error.errors()[0]["msg"]),
                ) from error


def write_records(path: Path, records: Iterable[Record]) -> tuple[str, int]:
    """Write a canonical file; returns its SHA-256 and the number of records. The file appears only when it is whole."""
    digest = hashlib.sha256()
    count = 0
    temporary = path.with_name(f".{path.name}.tmp")
    with temporary.open("wb") as file:
        for record in records:
            line = record_line(slim(record.model_dump(mode="json")))
            digest.update(line)
            file.write(line)
            count += 1
    temporary.replace(path)
    return digest.hexdigest(), count


def record_line(record: dict[str, Any]) -> bytes:
    """A slim record as the line that stores it."""
    return canonical_json(record) + b"\n"


def slim(record: dict[str, Any]) -> dict[str, Any]:
    """A record's dictionary without what is absent or default."""
    kept = {name: value for name, value in record.items() if value is not None}
    for name in ("messages", "chosen", "rejected", "responses", "media"):
        if name in kept:
            kept[name] = [{key: item for key, item in message.items() if item is not None} for message in kept[name]]
    facets = {name: value for name, value in kept.pop("facets", {}).items() if value is not None}
    extra = kept.pop("extra", None)
    if extra:
        kept["extra"] = extra
    if facets:
        kept["facets"] = facets
    if kept.get("modality") == "text":
        del kept["modality"]
    return kept


_encode = json.JSONEncoder(ensure_ascii=False, separators=(",", ":"), allow_nan=False).encode


def canonical_json(value: Any) -> bytes:
    """Raises ValueError for NaN and infinity, UnicodeEncodeError for half characters."""
    return _encode(value).encode()


def content_digest(record: Record) -> str:
    """SHA-256 of what a record says, whatever its id: equal for duplicates."""
    return slim_digest(slim(record.model_dump(mode="json")))


_encode_sorted = json.JSONEncoder(ensure_ascii=False, sort_keys=True, separators=(",", ":"), allow_nan=False).encode


def slim_digest(record: dict[str, Any]) -> str:
    """`content_digest` of a slim record."""
    content = {name: value for name, value in record.items() if name != "id"}
    return hashlib.sha256(_encode_sorted(content).encode()).hexdigest()


def dataset_digest(path: Path) -> str:
    """SHA-256 of a canonical file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def as_messages(record: Record, instruction: str | None = None, system_prompt: str | None = None) -> list[Message] | None:
    """The record as a conversation that ends with the assistant's answer, where it has one; None when it is no conversation.

    A conversation is taken as it is, a preference record with its chosen answer; a labelled text becomes the question
    (`instruction` put before the text) and the label its answer; a multiple-choice question lists its choices by letter
    and is answered with the letter and the choice. `system_prompt` comes first unless the record has its own.
    """
    messages = _conversation(record, instruction)
    if messages is None:
        return None
    if system_prompt and messages[0].role != "system":
        messages.insert(0, Message(role="system", content=system_prompt))
    return messages


def _conversation(record: Record, instruction: str | None) -> list[Message] | None:
    if record.messages:
        return [*record.messages, *(record.chosen or [])]
    if record.choices is not None and record.text is not None:
        question = Message(role="user", content=choice_question(record.text, record.choices, instruction))
        if record.answer is None:
            return [question]
        letter = choice_letter(record.answer)
        return [question, Message(role="assistant", content=f"{letter}. {record.choices[record.answer]}")]
    if record.text is not None and record.label is not None:
        return [
            Message(role="user", content=with_instruction(record.text, instruction)),
            Message(role="assistant", content=record.label),
        ]
    return None


def with_instruction(text: str, instruction: str | None) -> str:
    return f"{instruction.strip()}\n{text}" if instruction else text


def choice_letter(index: int) -> str:
    return chr(ord("A") + index) if index < 26 else str(index + 1)


def choice_question(text: str, choices: list[str], instruction: str | None = None) -> str:
    """The question with its choices, one a line: `A. …`."""
    lines = [f"{choice_letter(index)}. {choice}" for index, choice in enumerate(choices)]
    return "\n".join([with_instruction(text, instruction), *lines])


def as_text(record: Record) -> str | None:
    """The record as plain text for pre-training; None when it has none. Conversations are told turn by turn."""
    if record.text is not None:
        return record.text
    messages = as_messages(record)
    return None if messages is None else "\n".join(message.content for message in messages if message.content)
