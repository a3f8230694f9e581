"""The canonical record: one shape for every modality and task; importers make it, exporters unmake it."""

from typing import Any, Literal

from pydantic import Field

from workers.spec.base import Spec

Role = Literal["system", "user", "assistant", "tool"]


class Message(Spec):
    """One turn. `train` says whether its tokens are learnt (None: assistant turns are)."""

    role: Role
    content: str = ""
    name: str | None = None
    tool_calls: list[dict[str, Any]] | None = None
    tool_call_id: str | None = None
    train: bool | None = None


class Facets(Spec):
    """What a record is filtered by (S6.2). None: unknown."""

    source: str | None = None
    domain: str | None = None
    language: str | None = None
    licence: str | None = None
    quality: float | None = None


class Media(Spec):
    """One file of a record, in the order of the marks `<image>`, `<audio>`, `<video>` in its texts.

    `sha256` is there when the file itself is stored; `name` is its path in what was imported. Sizes are those of the
    picture as it is seen (turned as EXIF says), `bytes` those of the stored file.
    """

    kind: Literal["image", "audio", "video", "file"]
    sha256: str | None = None
    name: str | None = None
    url: str | None = None
    bytes: int | None = None
    width: int | None = None
    height: int | None = None
    duration_ms: int | None = None
    caption: str | None = None
    extra: dict[str, Any] | None = None


class Response(Spec):
    """One of several answers to the same conversation, to be ranked or rated."""

    id: str
    content: str = ""
    model: str | None = None
    rating: float | None = None


class Answer(Spec):
    """What is known about a question of a label schema: the shape in which annotations are stored, too."""

    q: str
    type: str
    value: Any


class Record(Spec):
    """One example.

    Which fields are there says what it can be used for: `text` (pre-training, or the input of a classification),
    `label` (its class), `messages` (a conversation; the last assistant turn is the reference answer in generation),
    `choices` + `answer` (multiple choice; `answer` is the index into `choices`), `chosen` + `rejected` (preference,
    after the conversation in `messages`), `desirable` (whether the last answer of `messages` is a good one), `responses`
    (answers to compare), `annotations` (spans, regions, segments, ranks … in the shapes of labelling). `extra` keeps
    every column that has no place, so that nothing is lost.
    """

    id: str
    modality: Literal["text", "image", "audio", "video"] = "text"
    text: str | None = None
    label: str | None = None
    messages: list[Message] | None = None
    tools: list[dict[str, Any]] | None = None
    choices: list[str] | None = None
    answer: int | None = None
    chosen: list[Message] | None = None
    rejected: list[Message] | None = None
    desirable: bool | None = None
    responses: list[Response] | None = None
    media: list[Media] | None = None
    annotations: list[Answer] | None = None
    facets: Facets = Field(default_factory=Facets)
    extra: dict[str, Any] = Field(default_factory=dict)
