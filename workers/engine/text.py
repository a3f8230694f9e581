"""From token events to text: whole characters only, cut at stop strings, however the tokens fall."""

from dataclasses import dataclass, field

from workers.data.templates import ChatTemplate, StreamDecoder
from workers.engine.engines.base import Alternatives, FinishReason, TokenEvent


@dataclass
class TokenLogprob:
    """One generated token as the API shows it."""

    token_id: int
    logprob: float
    alternatives: Alternatives = field(default_factory=list)


@dataclass
class Piece:
    """New text of one choice; `finish_reason` on the last one."""

    text: str = ""
    logprobs: list[TokenLogprob] = field(default_factory=list)
    finish_reason: FinishReason | None = None


class StopMatcher:
    """Lets text through up to the first stop string; holds back an end that may be the beginning of one."""

    def __init__(self, stops: list[str]) -> None:
        self._stops = [stop for stop in stops if stop]
        self._held = ""
        self.matched = False

    def feed(self, text: str) -> str:
        if not self._stops or self.matched:
            return "" if self.matched else text
        self._held += text
        position = min((found for stop in self._stops if (found := self._held.find(stop)) >= 0), default=-1)
        if position >= 0:
            self.matched = True
            passed, self._held = self._held[:position], ""
            return passed
        keep = max(self._overlap(stop) for stop in self._stops)
        split = len(self._held) - keep
        passed, self._held = self._held[:split], self._held[split:]
        return passed

    def finish(self) -> str:
        rest, self._held = self._held, ""
        return rest

    def _overlap(self, stop: str) -> int:
        """How many last characters of the held text are the first of `stop`."""
        longest = min(len(stop) - 1, len(self._held))
        return next((size for size in range(longest, 0, -1) if self._held.endswith(stop[:size])), 0)


class TextStream:
    """The text of one sequence as its tokens come."""

    def __init__(self, template: ChatTemplate, stops: list[str], *, skip_special_tokens: bool = True) -> None:
        self._decoder = StreamDecoder(template, skip_special_tokens)
        self._matcher = StopMatcher(stops)
        self.tokens: list[int] = []
        self.counted = 0
        self.cached_tokens = 0

    def feed(self, event: TokenEvent) -> Piece:
        """What the event adds. After a stop string the piece is final and the caller closes the engine's stream."""
        piece = Piece(finish_reason=event.finish_reason)
        self.cached_tokens = event.cached_tokens
        for index, token in enumerate(event.token_ids):
            self.tokens.append(token)
            self.counted += 1
            piece.text += self._matcher.feed(self._decoder.feed(token))
            if event.logprobs:
                alternatives = event.alternatives[index] if event.alternatives else []
                piece.logprobs.append(TokenLogprob(token, event.logprobs[index], alternatives))
            if self._matcher.matched:
                piece.finish_reason = "stop"
                return piece
        self.counted += event.counted - len(event.token_ids)
        if event.finish_reason is not None:
            piece.text += self._matcher.feed(self._decoder.finish())
            if self._matcher.matched:
                piece.finish_reason = "stop"
            else:
                piece.text += self._matcher.finish()
        return piece
