"""How a conversation asks its model: the sampling parameters, and the whole request for one answer."""

from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from webapp.registry.card import generation_defaults
from webapp.registry.models import Model, ModelKind

DEFAULTS = {"temperature": 0.7, "top_p": 0.9, "max_tokens": 1024}


PROVIDER = {"temperature": 1.0, "top_p": 1.0, "max_tokens": 1024}
"""What the OpenAI interface does when a request names nothing."""


def default_settings(model: Model | None) -> dict[str, Any]:
    """How an answer is sampled where nobody chose: as the model's card wants it, else as most models of today do well.

    An endpoint of somebody else gets nothing that nobody chose: some of its models refuse one parameter or another.
    """
    usual = {} if model is not None and model.kind == ModelKind.ENDPOINT else DEFAULTS
    return {**usual, **(generation_defaults(model) if model else {})}


def shown_defaults(model: Model | None) -> dict[str, Any]:
    """What the page shows of parameters that nobody chose."""
    return {**PROVIDER, **default_settings(model)}


class ChatSettings(BaseModel):
    """Sampling of a conversation; what is None is left to the engine."""

    model_config = ConfigDict(extra="forbid")

    temperature: float | None = Field(default=None, ge=0, le=2)
    top_p: float | None = Field(default=None, gt=0, le=1)
    max_tokens: int | None = Field(default=None, ge=1, le=1_000_000)
    seed: int | None = None
    stop: list[str] = Field(default_factory=list, max_length=8)

    def body(self) -> dict[str, Any]:
        """The fields that a request carries."""
        return self.model_dump(exclude_none=True, exclude_defaults=True)


class ChatParameters(ChatSettings):
    """All that shapes one answer."""

    system_prompt: str | None = Field(default=None, max_length=100_000)
