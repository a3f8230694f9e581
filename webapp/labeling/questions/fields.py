"""The questions a schema may hold, in their stored form. Answers to them are checked in the modules beside this one."""

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

MOST_CHOICES = 1000
MOST_NODES = 5000
NAME = r"^[A-Za-z_][A-Za-z0-9_]{0,59}$"
ANSWER_SOURCE = "messages.last"
"""The last answer of a conversation."""

Colour = Annotated[str, Field(pattern=r"^(#[0-9A-Fa-f]{3,8}|[a-z-]{1,20})?$")]
ChatRole = Literal["system", "user", "assistant", "tool"]
Preference = Literal["a", "b", "tie", "both_bad"]


class Part(BaseModel):
    model_config = ConfigDict(extra="forbid")


class Choice(Part):
    """A choice or a label that is put on something; given as a plain text it is its own value."""

    value: str = Field(min_length=1, max_length=200)
    label: str = Field("", max_length=200)
    hotkey: str = Field("", max_length=1)
    color: Colour = ""

    @model_validator(mode="before")
    @classmethod
    def from_text(cls, given: Any) -> Any:
        return {"value": given} if isinstance(given, str) else given


class Condition(Part):
    """A question is asked only when the one named (which stands before it) was answered so; a list: with any of these."""

    field: str
    is_: Any = Field(alias="is")

    model_config = ConfigDict(extra="forbid", populate_by_name=True, serialize_by_alias=True)


class Question(Part):
    """What all questions have. `source`: where in the record the thing asked about, or a proposed answer, stands."""

    name: str = Field(pattern=NAME)
    label: str = Field("", max_length=200)
    help: str = Field("", max_length=2000)
    required: bool = True
    source: str | None = Field(None, max_length=200)
    when: Condition | None = None


class ChoiceField(Question):
    """One answer, or with `multiple` several."""

    type: Literal["choice"]
    choices: list[Choice] = Field(min_length=2, max_length=MOST_CHOICES)
    multiple: bool = False


class Node(Part):
    value: str = Field(min_length=1, max_length=200)
    label: str = Field("", max_length=200)
    children: list["Node"] = Field(default_factory=list, max_length=MOST_CHOICES)

    @model_validator(mode="before")
    @classmethod
    def from_text(cls, given: Any) -> Any:
        return {"value": given} if isinstance(given, str) else given


class TreeField(Question):
    """Paths into a tree of choices."""

    type: Literal["tree"]
    nodes: list[Node] = Field(min_length=1, max_length=MOST_CHOICES)
    multiple: bool = False


class TextField(Question):
    """A text that is written, or corrected when `source` says where it begins (`messages.last`, `text`)."""

    type: Literal["text"]
    placeholder: str = Field("", max_length=200)
    rows: int | None = Field(None, ge=1, le=60)


class NumberField(Question):
    type: Literal["number"]
    min: float | None = Field(None, allow_inf_nan=False)
    max: float | None = Field(None, allow_inf_nan=False)
    step: float | None = Field(None, gt=0, allow_inf_nan=False)


class RatingField(Question):
    """`labels`: words for the steps from `min` to `max`."""

    type: Literal["rating"]
    min: int = Field(1, ge=-100, le=100)
    max: int = Field(5, ge=-100, le=100)
    labels: list[Annotated[str, Field(max_length=80)]] | None = Field(None, max_length=201)


Labels = Annotated[list[Choice], Field(min_length=1, max_length=MOST_CHOICES)]


class SpansField(Question):
    """Parts of the text at `source`, counted in code points, half-open."""

    type: Literal["spans"]
    labels: Labels
    source: str | None = Field("text", max_length=200)
    overlap: bool = False


class RelationsField(Question):
    """Arrows between the spans of the question named by `spans`."""

    type: Literal["relations"]
    spans: str
    labels: Labels


class RegionsField(Question):
    """Boxes, polygons and points on a picture; `source`: `media.1` is the second one, empty the first picture."""

    type: Literal["regions"]
    labels: Labels
    tools: list[Literal["box", "polygon", "point"]] = Field(default=["box"], min_length=1)


class SegmentsField(Question):
    """Stretches of sound or film in milliseconds, half-open, with a label, and with `transcribe` what is said."""

    type: Literal["segments"]
    labels: list[Choice] = Field(default_factory=list, max_length=MOST_CHOICES)
    transcribe: bool = False
    media: Literal["audio", "video"] = "audio"


class FramesField(Question):
    """Moments of a film that carry a label."""

    type: Literal["frames"]
    labels: Labels


class RankingField(Question):
    type: Literal["ranking"]
    source: str | None = Field("responses", max_length=200)
    ties: bool = True


class PairwiseField(Question):
    type: Literal["pairwise"]
    source: str | None = Field("responses", max_length=200)
    options: list[Preference] = Field(default=["a", "b", "tie", "both_bad"], min_length=2)


class Dimension(Part):
    name: str = Field(pattern=NAME)
    label: str = Field("", max_length=200)
    min: int = Field(1, ge=-100, le=100)
    max: int = Field(5, ge=-100, le=100)


class ResponseRatingField(Question):
    type: Literal["response_rating"]
    source: str | None = Field("responses", max_length=200)
    dimensions: list[Dimension] = Field(min_length=1, max_length=20)


class DialogueField(Question):
    """A conversation that is written or corrected, turn by turn."""

    type: Literal["dialogue"]
    source: str | None = Field("messages", max_length=200)
    roles: list[ChatRole] = Field(default=["system", "user", "assistant", "tool"], min_length=1)


class TraceField(Question):
    """A verdict on each step that an agent took."""

    type: Literal["trace"]
    source: str | None = Field("messages", max_length=200)
    verdicts: list[Choice] = Field(
        default_factory=lambda: [Choice(value="right"), Choice(value="wrong"), Choice(value="unneeded")],
        min_length=2,
        max_length=20,
    )


AnyField = Annotated[
    ChoiceField
    | TreeField
    | TextField
    | NumberField
    | RatingField
    | SpansField
    | RelationsField
    | RegionsField
    | SegmentsField
    | FramesField
    | RankingField
    | PairwiseField
    | ResponseRatingField
    | DialogueField
    | TraceField,
    Field(discriminator="type"),
]


class Schema(Part):
    fields: list[AnyField] = Field(min_length=1, max_length=40)
