"""Rows of named columns: a text, a text with its label, question and answer, or a multiple-choice question.

Which column says what is guessed from the names (`guess`), and can be told: {"text": "utterance", "label": "intent"}.
"""

from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any

from workers.data.formats import field_names
from workers.data.formats.base import Shape, content_error
from workers.data.formats.turns import common_fields, text_of, tools_from

MAPPABLE = (
    "id",
    "text",
    "label",
    "question",
    "answer",
    "system",
    "choices",
    "source",
    "domain",
    "language",
    "licence",
    "quality",
)
_FACETS = ("source", "domain", "language", "licence", "quality")
_FACET_NAMES = frozenset(_FACETS)


class Columns(Shape):
    name = "columns"

    def recognises(self, row: Mapping[str, Any]) -> bool:
        return True

    def to_record(self, row: Mapping[str, Any], mapping: Mapping[str, str]) -> dict[str, Any]:
        cells = {field: row.get(column) for field, column in mapping.items()}
        record = common_fields(row, _columns_of(tuple(mapping.values())), [])
        with_media = bool(record.get("media"))
        if not with_media and not mapping.keys() & {"text", "question", "answer"}:
            raise content_error(
                "no_text_column",
                "None of the columns {columns} is known to hold a text; choose the column for «text».",
                columns=", ".join(list(row)[:20]),
            )
        if "choices" in mapping:
            record.update(_multiple_choice(row, mapping))
        elif "question" in mapping and "answer" in mapping:
            record["messages"] = _question_and_answer(cells)
        else:
            text = cells.get("text", cells.get("question", cells.get("answer")))
            if text or not with_media:
                record["text"] = _text(text)
            if cells.get("label") not in (None, ""):
                record["label"] = label_text(cells["label"])
        if "tools" in row and (tools := tools_from(row["tools"])):
            record["tools"] = tools
        _add_facets(record, cells)
        if cells.get("id") not in (None, ""):
            record["id"] = str(cells["id"])
        return record


@cache
def _columns_of(given: tuple[str, ...]) -> frozenset[str]:
    """The columns that a mapping uses; several stand behind commas."""
    return frozenset({column for value in given for column in value.split(",")} | {"tools"})


def _add_facets(record: dict[str, Any], cells: Mapping[str, Any]) -> None:
    if _FACET_NAMES.isdisjoint(cells):
        return
    facets = dict(record.get("facets", {}))
    for name in _FACETS:
        if cells.get(name) in (None, ""):
            continue
        if name != "quality":
            facets[name] = str(cells[name])
            continue
        try:
            facets[name] = float(cells[name])
        except (TypeError, ValueError) as error:
            raise content_error("bad_number", "The quality «{value}» is no number.", value=str(cells[name])[:40]) from error
    if facets:
        record["facets"] = facets


def _text(value: Any) -> str:
    if isinstance(value, str) and not value.isspace() and value:
        return value
    text = "\n".join(value) if isinstance(value, list) and all(isinstance(item, str) for item in value) else text_of(value, [])
    if not text.strip():
        raise content_error("no_content", "The text is empty.")
    return text


def label_text(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(value).strip()


def _question_and_answer(cells: Mapping[str, Any]) -> list[dict[str, Any]]:
    system = [{"role": "system", "content": _text(cells["system"])}] if cells.get("system") else []
    question = {"role": "user", "content": _text(cells["question"])}
    answer = text_of(cells["answer"], [])
    return [*system, question, *([{"role": "assistant", "content": answer}] if answer.strip() else [])]


def _multiple_choice(row: Mapping[str, Any], mapping: Mapping[str, str]) -> dict[str, Any]:
    columns = mapping["choices"].split(",")
    given = [row.get(column) for column in columns] if len(columns) > 1 else row.get(columns[0])
    if isinstance(given, Mapping):
        given = given.get("text")
    if not isinstance(given, list) or not all(isinstance(choice, (str, int, float)) for choice in given):
        raise content_error("bad_choices", "The choices are no list of texts.")
    choices = [str(choice) for choice in given if choice != ""]
    if len(choices) < 2:
        raise content_error("bad_choices", "A multiple-choice question needs at least two choices.")
    text = _text(row.get(mapping.get("question", mapping.get("text", ""))))
    record: dict[str, Any] = {"text": text, "choices": choices}
    correct = row.get(mapping["answer"]) if "answer" in mapping else None
    if correct not in (None, ""):
        record["answer"] = _answer_index(correct, choices)
    return record


def _answer_index(correct: Any, choices: Sequence[str]) -> int:
    """An index from 0, a letter, or the words of a choice."""
    text = str(correct).strip()
    if text in choices and not isinstance(correct, int):
        return choices.index(text)
    letter = text.strip("().").upper()
    if len(letter) == 1 and "A" <= letter <= "Z":
        index = ord(letter) - ord("A")
    elif text.isdecimal():
        index = int(text)
    else:
        index = -1
    if not 0 <= index < len(choices):
        raise content_error(
            "bad_answer", "The answer «{answer}» is none of the {count} choices.", answer=text[:60], count=len(choices)
        )
    return index


def guess(rows: Sequence[Mapping[str, Any]], given: Mapping[str, str]) -> dict[str, str]:
    """Field → column for rows of these columns; what the user gave stays. Choices in several columns are joined by commas."""
    names = list(dict.fromkeys(name for row in rows for name in row))
    if names and all(name.startswith("column_") for name in names) and not given:
        return _by_position(rows, names)
    mapping = dict(given)
    taken = set(given.values())
    lower = {name.strip().lower(): name for name in reversed(names)}

    def find(field: str, candidates: Sequence[str]) -> None:
        column = next((lower[name] for name in candidates if name in lower and lower[name] not in taken), None)
        if field not in mapping and column is not None:
            mapping[field] = column
            taken.add(column)

    letters = _letter_columns(names)
    if ("choices" in mapping or letters or any(name in lower for name in field_names.CHOICES)) and "label" not in given:
        if letters and "choices" not in mapping:
            mapping["choices"] = ",".join(letters)
            taken.update(letters)
        find("choices", field_names.CHOICES)
        find("question", (*field_names.QUESTION, *field_names.TEXT))
        find("answer", field_names.CORRECT)
    elif not {"text", "label"} & given.keys():
        _guess_question_and_answer(find, mapping, taken)
    if not {"question", "choices"} & mapping.keys():
        find("text", (*field_names.TEXT, *field_names.QUESTION))
        find("label", field_names.LABEL)
    if not {"text", "question"} & mapping.keys():
        _single_text_column(rows, names, mapping, taken)
    for field in ("id", *_FACETS):
        find(field, field_names.FIELDS[field])
    return mapping


def _guess_question_and_answer(find: Any, mapping: dict[str, str], taken: set[str]) -> None:
    given = set(mapping)
    find("question", field_names.QUESTION)
    find("answer", field_names.ANSWER)
    if "question" in mapping and "answer" in mapping:
        find("system", field_names.SYSTEM)
        return
    if "answer" in mapping and "question" not in mapping:
        find("question", field_names.TEXT)
    if not ("question" in mapping and "answer" in mapping):
        for field in {"question", "answer"} - given:
            taken.discard(mapping.pop(field, ""))


def _letter_columns(names: Sequence[str]) -> list[str]:
    """Columns A, B, C, … as far as they go, if there are two at least."""
    letters = []
    for index in range(26):
        name = next((name for name in names if name.strip() == chr(ord("A") + index)), None)
        if name is None:
            break
        letters.append(name)
    return letters if len(letters) >= 2 else []


def _single_text_column(
    rows: Sequence[Mapping[str, Any]], names: Sequence[str], mapping: dict[str, str], taken: set[str]
) -> None:
    """The only column of texts, when there is just one."""
    texts = [name for name in names if name not in taken and all(isinstance(row.get(name), str) for row in rows)]
    if len(texts) == 1:
        mapping["text"] = texts[0]


def _by_position(rows: Sequence[Mapping[str, Any]], names: Sequence[str]) -> dict[str, str]:
    """Tables without a header: question, choices …, letter; or text and label; or question and answer; or text alone."""
    last = [str(row.get(names[-1], "")).strip() for row in rows]
    if len(names) >= 4 and all(len(cell) == 1 and "A" <= cell <= chr(ord("A") + len(names) - 3) for cell in last):
        return {"question": names[0], "choices": ",".join(names[1:-1]), "answer": names[-1]}
    if len(names) == 1:
        return {"text": names[0]}
    if len(names) == 2:
        few = len(set(last)) <= max(1, len(last) // 2) and all(len(cell) <= 60 for cell in last)
        return {"text": names[0], "label": names[1]} if few else {"question": names[0], "answer": names[1]}
    return {}
