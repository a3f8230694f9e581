"""One answer of an engine: the messages of a branch go in, text comes out in pieces, whatever happens to the engine."""

import asyncio
import json
import logging
import time
from collections.abc import AsyncIterator
from typing import Any

import httpx

from webapp.chat.models import Turn
from webapp.chat.queries import path_to
from webapp.chat.settings import ChatSettings
from webapp.core.errors import UserError
from webapp.serving.connections import engine_client
from webapp.serving.models import Deployment, Health, Wanted
from webapp.serving.refusals import TOO_LONG, refusal
from webapp.serving.streams import END, EventReader

logger = logging.getLogger(__name__)
PATIENCE_SECONDS = 120.0
"""How long an answer waits for an engine that starts, is full, or was just lost."""
POLL_SECONDS = 0.2
MAXIMUM_LOSSES = 10
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
    deployment = turn.deployment_id and Deployment.objects.filter(pk=turn.deployment_id).first()
    if not deployment:
        raise UserError("chat.deployment_deleted", "The deployment of this answer was deleted; choose another model.")
    if deployment.wanted == Wanted.STOPPED:
        raise UserError("chat.deployment_stopped", "“{name}” is stopped; start it, then press Regenerate.", name=deployment.name)
    if deployment.health == Health.FAILED:
        raise UserError("chat.deployment_failed", "“{name}” could not be started; its page says why.", name=deployment.name)
    return deployment


class Generation:
    """Produces the text of one turn. `text` is all there is so far, beginning with what earlier attempts wrote."""

    def __init__(self, turn: Turn, messages: list[dict[str, str]], text: str) -> None:
        self.turn = turn
        self.text = text
        self.messages = messages
        self.usage: dict[str, Any] = dict(turn.usage) if text else {}
        self.finish_reason = "stop"
        self._tokens_before = int(turn.usage.get("completion_tokens", 0)) if text else 0
        self._tokens = 0
        self._first_at: float | None = None
        self._last_at = 0.0
        self._losses = 0
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
        from webapp.chat.threads import in_thread

        while True:
            deployment = await in_thread(find_deployment, self.turn)
            if deployment.health == Health.READY and deployment.port:
                return deployment
            self._check_patience(deployment)
            await asyncio.sleep(POLL_SECONDS)

    def _check_patience(self, deployment: Deployment) -> None:
        if time.monotonic() > self._patient_until:
            raise UserError(
                "chat.engine_away", "“{name}” has not answered for {seconds} s; look at its page, then press Regenerate.",
                name=deployment.name, seconds=round(PATIENCE_SECONDS),
            )  # fmt: skip

    async def _wait_after(self, error: Exception, deployment: Deployment) -> None:
        logger.info("turn %s goes on when the engine is back: %s", self.turn.pk, error or type(error).__name__)
        if self._tokens:
            self._losses += 1
            self._patient_until = time.monotonic() + PATIENCE_SECONDS
        self._tokens_before += self._tokens
        self._tokens = 0
        if self._losses > MAXIMUM_LOSSES:
            raise UserError("chat.engine_crashes", "The engine of “{name}” crashed again and again.", name=deployment.name)
        self._check_patience(deployment)
        await asyncio.sleep(POLL_SECONDS)

    def _body(self, deployment: Deployment) -> dict[str, Any]:
        sampling = {name: value for name, value in self.turn.parameters.items() if name != "system_prompt"}
        body = {
            **ChatSettings.model_validate(sampling).body(),
            "model": deployment.name,
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
        headers = {"Authorization": f"Bearer {deployment.token}"}
        url = f"{deployment.url}/v1/chat/completions"
        async with engine_client().stream("POST", url, json=self._body(deployment), headers=headers) as response:
            if not response.is_success:
                self._refused(await response.aread(), response.status_code)
                raise EngineLost
            reader = EventReader()
            async for chunk in response.aiter_raw():
                for data in reader.feed(chunk):
                    if data == END:
                        return
                    if piece := self._take(json.loads(data)):
                        self.text += piece
                        yield piece
        raise EngineLost("the stream broke off")

    def _take(self, event: dict[str, Any]) -> str:
        if "error" in event:
            self._raise(event["error"], 500)
        usage = event.get("usage")
        if isinstance(usage, dict):
            self._count(usage)
        choice = next(iter(event.get("choices") or []), None)
        if choice is None:
            return ""
        self.finish_reason = choice.get("finish_reason") or self.finish_reason
        piece = str(choice.get("delta", {}).get("content") or "")
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
        self._tokens = int(usage.get("completion_tokens", self._tokens))
        self.usage["prompt_tokens"] = int(usage.get("prompt_tokens", 0))
        self.usage["completion_tokens"] = self._tokens_before + self._tokens
        seconds = self._last_at - self._first_at if self._first_at else 0.0
        if seconds > 0 and self._tokens > 1:
            self.usage["tokens_per_second"] = round((self._tokens - 1) / seconds, 1)

    def _refused(self, content: bytes, status: int) -> None:
        try:
            error = json.loads(content)["error"]
        except (ValueError, KeyError, TypeError):
            error = {"message": content.decode("utf-8", errors="replace")[:300]}
        if error.get("code") == TOO_LONG and self._forget_oldest():
            return
        self._raise(error, status)

    def _raise(self, error: dict[str, Any], status: int) -> None:
        """A passing hindrance is waited for; everything else is told."""
        message = str(error.get("message", ""))
        if error.get("code") in PASSING or status in {429, 502, 503}:
            raise EngineLost(message)
        raise refusal(error, self.turn.model_name)

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
