"""One answer of an engine: the messages of a branch go in, text comes out in pieces, whatever happens to the engine."""

import asyncio
import json
import logging
import time
from collections.abc import AsyncIterator
from typing import Any

import httpx
from django.db import DatabaseError

from webapp.chat.models import Turn
from webapp.chat.queries import path_to
from webapp.chat.settings import ChatSettings
from webapp.core.errors import UserError
from webapp.serving.accounting import tokens_in
from webapp.serving.models import Deployment, Health, Wanted
from webapp.serving.refusals import TOO_LONG, refusal
from webapp.serving.streams import END, EventReader
from webapp.serving.upstream import Upstream, read_limited, upstream_of

logger = logging.getLogger(__name__)
PATIENCE_SECONDS = 120.0
"""How long an answer waits for an engine that starts, is full, or was just lost."""
POLL_SECONDS = 0.2
REMOTE_WAIT_SECONDS = 0.5
MAXIMUM_LOSSES = 10
REMOTE_TRIES = 5
LONGEST_TEXT = 1_000_000
LONGEST_REFUSAL = 2**20
PASSING = {"engine_overloaded", "engine_stopping"}


class EngineLost(Exception):
    """The engine cannot be reached now, or its stream broke off."""


def messages_of(turn: Turn) -> list[dict[str, str]]:
    """The branch that the turn answers, as chat messages, without failed or empty answers."""
    system = str(turn.parameters.get("system_prompt") or "").strip()
    found = [{"role": "system", "content": system}] if system else []
    branch = path_to(turn.parent_id, turn.conversation_id)
    return found + [{"role": step.role, "content": step.content} for step in branch if step.content]


def find_deployment(turn: Turn) -> Deployment:
    """The turn's deployment as it is now. Nothing to wait for: an error that says what to do."""
    deployment = turn.deployment_id and Deployment.objects.select_related("model").filter(pk=turn.deployment_id).first()
    if not deployment:
        raise UserError("chat.deployment_deleted", "The deployment of this answer was deleted; choose another model.")
    if deployment.wanted == Wanted.STOPPED:
        raise UserError("chat.deployment_stopped", "“{name}” is stopped; start it, then press Regenerate.", name=deployment.name)
    if deployment.health == Health.FAILED:
        raise UserError("chat.deployment_failed", "“{name}” could not be started; its page says why.", name=deployment.name)
    return deployment


def _event(data: bytes) -> dict[str, Any]:
    """An event of the stream; what is no JSON object counts as a broken stream."""
    try:
        event = json.loads(data)
    except ValueError as error:
        raise EngineLost("the stream holds no JSON") from error
    if not isinstance(event, dict):
        raise EngineLost("the stream holds no JSON object")
    return event


def _first(choices: Any) -> dict[str, Any] | None:
    choice = choices[0] if isinstance(choices, list) and choices else None
    return choice if isinstance(choice, dict) else None


class Generation:
    """Produces the text of one turn. `text` is all there is so far, beginning with what earlier attempts wrote."""

    def __init__(self, turn: Turn, messages: list[dict[str, str]], text: str) -> None:
        self.turn = turn
        self.text = text
        self.messages = messages
        self.usage: dict[str, Any] = dict(turn.usage) if text else {}
        self.finish_reason = "stop"
        self._finished = False
        self._tokens_before = int(turn.usage.get("completion_tokens", 0)) if text else 0
        self._tokens = 0
        self._first_at: float | None = None
        self._last_at = 0.0
        self._losses = 0
        self._remote_tries = 0
        self._patient_until = time.monotonic() + PATIENCE_SECONDS
        self._started_at = time.time()

    async def pieces(self) -> AsyncIterator[str]:
        """New text as it comes, over crashes and restarts of the engine."""
        while True:
            deployment = await self._ready_deployment()
            try:
                async for piece in self._read(deployment):
                    yield piece
            except (httpx.TransportError, EngineLost) as error:
                await self._wait_after(error, deployment)
            else:
                return

    async def _ready_deployment(self) -> Deployment:
        while True:
            deployment = await self._look_up()
            if deployment.health == Health.READY and (deployment.port or deployment.is_remote):
                return deployment
            self._check_patience(deployment)
            await asyncio.sleep(POLL_SECONDS)

    async def _look_up(self) -> Deployment:
        from webapp.chat.threads import in_thread

        while True:
            try:
                return await in_thread(find_deployment, self.turn)
            except DatabaseError:
                if time.monotonic() > self._patient_until:
                    raise
                logger.warning("turn %s waits for the database", self.turn.pk)
                await asyncio.sleep(POLL_SECONDS)

    def _check_patience(self, deployment: Deployment) -> None:
        if time.monotonic() > self._patient_until:
            raise UserError(
                "chat.engine_away", "“{name}” has not answered for {seconds} s; look at its page, then press Regenerate.",
                name=deployment.name, seconds=round(PATIENCE_SECONDS),
            )  # fmt: skip

    async def _wait_after(self, error: Exception, deployment: Deployment) -> None:
        logger.info("turn %s goes on when the engine is back: %s", self.turn.pk, error or type(error).__name__)
        if deployment.is_remote:
            await self._wait_for_remote(error, deployment)
            return
        if self._tokens:
            self._losses += 1
            self._patient_until = time.monotonic() + PATIENCE_SECONDS
        self._tokens_before += self._tokens
        self._tokens = 0
        if self._losses > MAXIMUM_LOSSES:
            raise UserError("chat.engine_crashes", "The engine of “{name}” crashed again and again.", name=deployment.name)
        self._check_patience(deployment)
        await asyncio.sleep(POLL_SECONDS)

    async def _wait_for_remote(self, error: Exception, deployment: Deployment) -> None:
        """Somebody else's endpoint is asked a few times, at growing intervals, and cannot go on with half an answer."""
        if self.text:
            raise UserError(
                "chat.remote_broke_off",
                "The connection to “{name}” broke off; press Regenerate for a whole answer.",
                name=deployment.name,
            )
        self._remote_tries += 1
        if self._remote_tries >= REMOTE_TRIES:
            raise UserError(
                "chat.remote_away",
                "“{name}” does not answer ({detail}); try again later or choose another model.",
                name=deployment.name,
                detail=str(error)[:300] or type(error).__name__,
            )
        await asyncio.sleep(REMOTE_WAIT_SECONDS * 2**self._remote_tries)

    def _body(self, there: Upstream) -> dict[str, Any]:
        sampling = {name: value for name, value in self.turn.parameters.items() if name != "system_prompt"}
        body = {
            **ChatSettings.model_validate(sampling).body(),
            "model": there.model,
            "messages": self.messages,
            "stream": True,
            "stream_options": {"include_usage": True},
        }
        if self.text:
            body["messages"] = [*self.messages, {"role": "assistant", "content": self.text}]
            body["continue_final_message"] = True
            if "max_tokens" in body:
                body["max_tokens"] = max(1, body["max_tokens"] - self._tokens_before)
        return body

    async def _read(self, deployment: Deployment) -> AsyncIterator[str]:
        if self.text and deployment.is_remote:
            await self._wait_for_remote(EngineLost(), deployment)
        there = await upstream_of(deployment)
        url = f"{there.base}/chat/completions"
        async with there.client().stream("POST", url, json=self._body(there), headers=there.headers) as response:
            if not response.is_success:
                self._refused(await read_limited(response, LONGEST_REFUSAL), response.status_code, there)
                raise EngineLost
            reader = EventReader()
            async for chunk in response.aiter_raw():
                for data in reader.feed(chunk):
                    if data == END:
                        return
                    if piece := self._take(_event(data), there):
                        self.text += piece
                        yield piece
                        if len(self.text) > LONGEST_TEXT:
                            self.finish_reason = "length"
                            return
        if not (there.target and self._finished):  # some endpoints just hang up when they have finished
            raise EngineLost("the stream broke off")

    def _take(self, event: dict[str, Any], there: Upstream) -> str:
        if event.get("error"):
            self._raise(event["error"], 500, there)
        usage = event.get("usage")
        if isinstance(usage, dict):
            self._count(usage)
        choice = _first(event.get("choices"))
        if choice is None:
            return ""
        if reason := choice.get("finish_reason"):
            self.finish_reason, self._finished = str(reason), True
        delta = choice.get("delta")
        piece = str(delta.get("content") or "") if isinstance(delta, dict) else ""
        if piece:
            self._tokens += 1
            self._last_at = time.monotonic()
            self._first_at = self._first_at or self._last_at
            if "ttft_ms" not in self.usage:
                self.usage["ttft_ms"] = round(1000 * (time.time() - self.turn.created_at.timestamp()), 1)
            self.usage["completion_tokens"] = self._tokens_before + self._tokens
        return piece

    def _count(self, usage: dict[str, Any]) -> None:
        """The engine's own count at the end, and the rate between the first token and the last."""
        self._tokens = tokens_in(usage, "completion_tokens", self._tokens)
        self.usage["prompt_tokens"] = tokens_in(usage, "prompt_tokens")
        self.usage["completion_tokens"] = self._tokens_before + self._tokens
        seconds = self._last_at - self._first_at if self._first_at else 0.0
        if seconds > 0 and self._tokens > 1:
            self.usage["tokens_per_second"] = round((self._tokens - 1) / seconds, 1)

    def _refused(self, content: bytes, status: int, there: Upstream) -> None:
        try:
            error = json.loads(content)["error"]
        except (ValueError, KeyError, TypeError):
            error = {"message": content.decode("utf-8", errors="replace")[:300]}
        if not isinstance(error, dict):
            error = {"message": str(error)}
        if error.get("code") == TOO_LONG and self._forget_oldest():
            return
        if there.target and status in {401, 403}:
            raise UserError(
                "chat.remote_key",
                "“{name}” refuses the stored key; a manager can enter a valid one on the model's page.",
                name=self.turn.model_name,
            )
        self._raise(error, status, there)

    def _raise(self, error: dict[str, Any], status: int, there: Upstream) -> None:
        """A passing hindrance is waited for; everything else is told."""
        message = there.without_key(str(error.get("message", "")))
        if error.get("code") in PASSING or status in {429, 502, 503}:
            raise EngineLost(message)
        raise refusal({**error, "message": message}, self.turn.model_name)

    def _forget_oldest(self) -> bool:
        """Leave out the older half of a conversation that does not fit the model's context; False when nothing is left to cut."""
        fixed = 1 if self.messages and self.messages[0]["role"] == "system" else 0
        talk = self.messages[fixed:]
        kept = talk[(len(talk) + 1) // 2 :]
        while kept and kept[0]["role"] != "user":
            kept = kept[1:]
        if not kept:
            return False
        self.messages = self.messages[:fixed] + kept
        self.usage["forgotten_messages"] = self.usage.get("forgotten_messages", 0) + len(talk) - len(kept)
        return True
