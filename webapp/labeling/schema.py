"""What is asked about a record: fields with choices or a text, checked when a project is made and at every submit."""

from collections import Counter
from collections.abc import Sequence
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from webapp.core.errors import UserError
from webapp.datasets.words import clean

MOST_CHOICES = 1000
LONGEST_TEXT = 200_000
ANSWER_SOURCE = "messages.last"
"""The last answer of a conversation."""


class Part(BaseModel):
    model_config = ConfigDict(extra="forbid")


class Choice(Part):
    value: str = Field(min_length=1, max_length=200)
    label: str = Field("", max_length=200)
    hotkey: str = Field("", max_length=1)


class ChoiceField(Part):
    """One answer, or with `multiple` several. `source`: where in the record a proposal stands (`label`)."""

    name: str = Field(pattern=r"^[A-Za-z_][A-Za-z0-9_]{0,59}$")
    type: Literal["choice"] = "choice"
    label: str = Field("", max_length=200)
    choices: list[Choice] = Field(min_length=2, max_length=MOST_CHOICES)
    multiple: bool = False
    required: bool = True
    source: str | None = None


class TextField(Part):
    """A text that is written, or corrected when `source` says where it begins (`messages.last`, `text`)."""

    name: str = Field(pattern=r"^[A-Za-z_][A-Za-z0-9_]{0,59}$")
    type: Literal["text"] = "text"
    label: str = Field("", max_length=200)
    placeholder: str = Field("", max_length=200)
    required: bool = True
    source: str | None = None


AnyField = Annotated[ChoiceField | TextField, Field(discriminator="type")]


class Schema(Part):
    fields: list[AnyField] = Field(min_length=1, max_length=40)


def checked_schema(given: Any) -> dict[str, Any]:
    """The schema in its stored form. Choices may be given as plain texts."""
    try:
        schema = Schema.model_validate(_with_full_choices(given))
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        place = ".".join(str(part) for part in first["loc"])
        raise UserError(
            "label.bad_schema",
            "The questions are not right at “{place}”: {reason}.",
            status=422,
            place=place,
            reason=first["msg"],
        ) from error
    _require_different("label.same_name", "Two questions have the name “{name}”; rename one.", [f.name for f in schema.fields])
    for field in schema.fields:
        if isinstance(field, ChoiceField):
            values = [choice.value for choice in field.choices]
            _require_different("label.same_choice", "The choice “{name}” stands there twice; remove one.", values)
    return _cleaned(schema.model_dump(exclude_none=True))  # type: ignore[no-any-return]


def _cleaned(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _cleaned(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_cleaned(item) for item in value]
    return clean(value) if isinstance(value, str) else value


def _with_full_choices(given: Any) -> Any:
    if not isinstance(given, dict) or not isinstance(given.get("fields"), list):
        return given
    return {**given, "fields": [_with_choice_objects(field) for field in given["fields"]]}


def _with_choice_objects(field: Any) -> Any:
    if not isinstance(field, dict) or not isinstance(field.get("choices"), list):
        return field
    return {**field, "choices": [{"value": choice} if isinstance(choice, str) else choice for choice in field["choices"]]}


def _require_different(code: str, template: str, names: Sequence[str]) -> None:
    name, times = Counter(names).most_common(1)[0]
    if times > 1:
        raise UserError(code, template, status=422, name=name)


def checked_value(schema: dict[str, Any], value: Any) -> list[dict[str, Any]]:
    """The answers [{"q", "type", "value"}] in the order of the fields; says which one is wrong."""
    fields = Schema.model_validate(schema).fields
    given = _by_question(value)
    unknown = given.keys() - {field.name for field in fields}
    if unknown:
        raise UserError("label.unknown_question", "There is no question “{field}” here.", status=422, field=sorted(unknown)[0])
    answers = []
    for field in fields:
        answer = given.get(field.name)
        if answer in (None, "", []) or (isinstance(answer, str) and not answer.strip()):
            if field.required:
                raise _wrong(field, "answer_required", "“{field}” needs an answer.")
            continue
        check = _checked_choice if isinstance(field, ChoiceField) else _checked_text
        answers.append({"q": field.name, "type": field.type, "value": check(field, answer)})
    return answers


def _by_question(value: Any) -> dict[str, Any]:
    if not isinstance(value, list) or not all(isinstance(item, dict) and isinstance(item.get("q"), str) for item in value):
        raise UserError("label.bad_value", "The value must be a list of answers, each with “q”, “type” and “value”.", status=422)
    return {item["q"]: item.get("value") for item in value}


def _checked_choice(field: Any, answer: Any) -> Any:
    wanted = answer if field.multiple else [answer]
    if not isinstance(wanted, list):
        raise _wrong(field, "list_expected", "The answer to “{field}” must be a list of choices.")
    known = [choice.value for choice in field.choices]
    for one in wanted:
        if one not in known:
            raise _wrong(field, "not_a_choice", "“{choice}” is none of the choices of “{field}”.", choice=str(one)[:80])
    return [choice for choice in known if choice in wanted] if field.multiple else answer


def _checked_text(field: Any, answer: Any) -> str:
    if not isinstance(answer, str):
        raise _wrong(field, "text_expected", "The answer to “{field}” must be a text.")
    if len(answer) > LONGEST_TEXT:
        raise _wrong(
            field, "text_too_long", "The answer to “{field}” is longer than {limit} characters; shorten it.", limit=LONGEST_TEXT
        )
    return clean(answer)


def _wrong(field: ChoiceField | TextField, code: str, template: str, **params: Any) -> UserError:
    return UserError(f"label.{code}", template, status=422, field=field.label or field.name, **params)


def choices_of(answers: Sequence[dict[str, Any]]) -> list[tuple[str, str]]:
    """(question, choice) pairs of a value, for counting."""
    pairs = []
    for answer in answers:
        if answer["type"] == "choice":
            given = answer["value"] if isinstance(answer["value"], list) else [answer["value"]]
            pairs += [(answer["q"], choice) for choice in given]
    return pairs
