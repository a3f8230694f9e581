"""An OpenAI-compatible endpoint as a client sees it: many requests at once, patience with busy servers, clear refusals."""

import asyncio
import os
import random
from collections.abc import Mapping, Sequence
from typing import Any

import httpx

from workers.pinning import AsyncPinned
from workers.spec.errors import UserError
from workers.spec.run import ModelInput

KEY_VARIABLE = "SHUYUAN_ENDPOINT_KEY"
ATTEMPTS = 6
FIRST_WAIT_SECONDS = 0.5
LONGEST_WAIT_SECONDS = 30.0
_BUSY = frozenset({408, 409, 425, 429, 500, 502, 503, 504})
_REFUSED = frozenset({400, 413, 422})


class RequestRefused(Exception):
    """The endpoint will not answer this request (it is too long, say), while others may go well."""


class Endpoint:
    """Requests to one model of an endpoint."""

    def __init__(self, given: ModelInput, concurrency: int = 8, transport: httpx.AsyncBaseTransport | None = None) -> None:
        assert given.base_url is not None
        base = given.base_url.rstrip("/")
        self.url = base if base.endswith("/v1") else f"{base}/v1"
        self.model = given.remote_name or given.name
        key = os.environ.get(KEY_VARIABLE)
        self._slots = asyncio.Semaphore(concurrency)
        limits = httpx.Limits(max_connections=concurrency)
        self._client = httpx.AsyncClient(
            headers={"Authorization": f"Bearer {key}"} if key else {},
            timeout=httpx.Timeout(600.0, connect=10.0),
            transport=transport or AsyncPinned(self.url, given.addresses, limits),
            trust_env=False,
        )

    async def close(self) -> None:
        await self._client.aclose()

    async def post(self, path: str, body: Mapping[str, Any]) -> dict[str, Any]:
        """The JSON answer. Raises RequestRefused for this request alone, UserError when the endpoint cannot be used."""
        trouble = ""
        for attempt in range(ATTEMPTS):
            wait = min(FIRST_WAIT_SECONDS * 2**attempt, LONGEST_WAIT_SECONDS) * (0.5 + random.random())
            try:
                async with self._slots:
                    response = await self._client.post(f"{self.url}{path}", json={"model": self.model, **body})
            except httpx.TransportError as error:
                trouble = f"{type(error).__name__} {error}".strip()
            else:
                if response.is_success:
                    return self._content(response)
                trouble = f"{response.status_code}: {response.text[:200]}"
                self._check(response, trouble)
                wait = max(wait, _asked_wait(response))
            if attempt < ATTEMPTS - 1:
                await asyncio.sleep(wait)
        raise UserError(
            "endpoint.unreachable",
            "The endpoint {url} did not answer after {attempts} attempts ({trouble}); when it runs again, press Resume.",
            url=self.url,
            attempts=ATTEMPTS,
            trouble=trouble[:200],
        )

    def _check(self, response: httpx.Response, trouble: str) -> None:
        if response.status_code in _REFUSED:
            raise RequestRefused(trouble)
        if response.status_code not in _BUSY:
            raise UserError(
                "endpoint.refused",
                "The endpoint {url} refuses the request for the model {model} ({trouble}); check address, model name and key.",
                url=self.url,
                model=self.model,
                trouble=trouble,
            )

    def _content(self, response: httpx.Response) -> dict[str, Any]:
        try:
            content = response.json()
        except ValueError:
            content = None
        if not isinstance(content, dict):
            raise UserError(
                "endpoint.no_json", "The endpoint {url} answered with something that is no JSON object.", url=self.url
            )
        return content

    async def scores_prompts(self) -> bool:
        """Whether it gives log-probabilities of the prompt's own tokens (`echo`)."""
        try:
            scored = await self.echo(["The sky is blue."])
        except (RequestRefused, UserError):
            return False
        return any(value is not None for value in scored[0].get("token_logprobs") or [])

    async def echo(self, prompts: Sequence[str] | Sequence[list[int]]) -> list[dict[str, Any]]:
        """The `logprobs` object of each prompt; it may end with one token more than the prompt."""
        body = {"prompt": list(prompts), "max_tokens": 1, "temperature": 0, "logprobs": 1, "echo": True}
        content = await self.post("/completions", body)
        choices = sorted(content.get("choices") or [], key=lambda choice: choice.get("index", 0))
        if len(choices) != len(prompts) or not all(isinstance(choice.get("logprobs"), dict) for choice in choices):
            raise RequestRefused("the answer has no log-probabilities")
        return [choice["logprobs"] for choice in choices]


def _asked_wait(response: httpx.Response) -> float:
    try:
        return min(float(response.headers.get("Retry-After", 0)), LONGEST_WAIT_SECONDS)
    except ValueError:
        return 0.0
