"""What every engine offers the server: tokens in, tokens out as they come, log-probabilities of given tokens, figures.

Engines know nothing of text, templates or HTTP.
"""

import abc
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

FinishReason = Literal["stop", "length"]
Alternatives = list[tuple[int, float]]
"""The most probable tokens at one position with their log-probabilities, best first."""


class EngineError(Exception):
    """The engine could not serve one request (the others go on); `message` may be shown to the caller."""


class EngineOverloaded(EngineError):
    """No room for another request now."""


class EngineStopping(EngineError):
    """The engine ends or has failed; another process must serve the request."""


class RequestRefused(EngineError):
    """The request itself is at fault (a token id outside the vocabulary, a grammar that does not compile)."""


class UnsupportedOption(RequestRefused):
    """This engine cannot do what the request asks; `option` is the request's field."""

    def __init__(self, option: str, message: str) -> None:
        super().__init__(message)
        self.option = option

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self.option, str(self))


@dataclass(frozen=True)
class Grammar:
    """What the generated text must match: a JSON schema, a regular expression, or calls of tools.

    `tools` maps a tool's name to the JSON schema of its arguments.
    """

    json_schema: dict[str, Any] | None = None
    regex: str | None = None
    tools: dict[str, dict[str, Any]] | None = None


@dataclass(frozen=True)
class Sampling:
    """How tokens are drawn. Temperature 0 is greedy; `top_k` 0 and `top_p` 1 keep everything."""

    max_tokens: int
    temperature: float = 1.0
    top_p: float = 1.0
    top_k: int = 0
    min_p: float = 0.0
    repetition_penalty: float = 1.0
    presence_penalty: float = 0.0
    frequency_penalty: float = 0.0
    seed: int | None = None
    stop_token_ids: frozenset[int] = frozenset()
    logprobs: bool = False
    top_logprobs: int = 0
    grammar: Grammar | None = None

    @property
    def greedy(self) -> bool:
        return self.temperature < 1e-4 or self.top_k == 1


@dataclass
class TokenEvent:
    """The tokens of one step of one request (a stop token that ended it is not among them).

    `counted` is how many tokens the step computed, the stop token included.
    """

    token_ids: list[int] = field(default_factory=list)
    logprobs: list[float] = field(default_factory=list)
    alternatives: list[Alternatives] = field(default_factory=list)
    finish_reason: FinishReason | None = None
    counted: int = 0
    cached_tokens: int = 0


@dataclass
class Scores:
    """Log-probability of each given token after those before it; the first has none (0.0). Natural logarithm."""

    logprobs: list[float]
    alternatives: list[Alternatives] = field(default_factory=list)


@dataclass
class EngineMetrics:
    """Figures of one moment. `kv_cache_usage` is a share (0–1) of `kv_cache_bytes`."""

    running: int
    waiting: int
    kv_cache_usage: float
    kv_cache_bytes: int


class Engine(abc.ABC):
    """One loaded model."""

    name: str
    weights: str
    """How the weights are stored: f16, q8_0, q4_0, bf16 …"""
    context_length: int
    streams_alternatives: bool = False
    """Whether the most probable other tokens come with generated tokens; otherwise only `score` gives them."""
    supports_grammar: bool = False
    failure: str | None = None
    """Why the engine can serve nobody any more; None while all is well."""
    pids: Sequence[int] = ()
    """Processes beside the server's own that hold the model."""

    @abc.abstractmethod
    def generate(self, prompt: Sequence[int], sampling: Sampling) -> AsyncIterator[TokenEvent]:
        """Events until one has a finish reason. Closing the iterator early cancels the request in the engine."""

    @abc.abstractmethod
    async def score(self, tokens: Sequence[int], top: int = 0) -> Scores:
        """Log-probabilities of `tokens`; with `top`, also that many alternatives at each position."""

    @abc.abstractmethod
    def metrics(self) -> EngineMetrics: ...

    @abc.abstractmethod
    async def close(self) -> None:
        """Cancel what runs and free the model."""
