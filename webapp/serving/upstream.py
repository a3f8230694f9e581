"""Where a deployment's requests go: to an engine of ours, or to somebody else's endpoint that stands in for one.

An endpoint's address is checked anew each time and the connection goes to the checked address only; its key never leaves
this module except in the request to it.
"""

import asyncio
from dataclasses import dataclass, field
from typing import Any

import httpx

from webapp.registry import secrets
from webapp.registry.endpoints import Target, check_endpoint
from webapp.serving.connections import endpoint_client, engine_client
from webapp.serving.models import Deployment
from workers.pinning import Pinned

LONGEST_ANSWER = 32 * 2**20
"""Bytes of an answer that is not streamed."""


@dataclass(frozen=True)
class Upstream:
    """`base` ends before `/chat/completions`; `model` is the model's name there. Without a target it is an engine of ours."""

    base: str
    model: str
    key: str = field(repr=False)
    target: Target | None = None

    @property
    def headers(self) -> dict[str, str]:
        known = {"Authorization": f"Bearer {self.key}"} if self.key else {}
        # The bytes of a stream are passed on as they come, so they must come as they are.
        return {**known, "Accept-Encoding": "identity"} if self.target else known

    def client(self) -> httpx.AsyncClient:
        """A client of the running event loop."""
        return endpoint_client(self.target.url, self.target.addresses) if self.target else engine_client()

    def ask(self, body: dict[str, Any], timeout: float) -> httpx.Response:
        """One chat completion outside an event loop, read to its end."""
        transport = Pinned(self.target.url, self.target.addresses) if self.target else None
        url = f"{self.base}/chat/completions"
        with (
            httpx.Client(timeout=timeout, trust_env=False, transport=transport) as client,
            client.stream("POST", url, json=body, headers=self.headers) as response,
        ):
            content = bytearray()
            for chunk in response.iter_raw():
                content += chunk
                _check_length(len(content), LONGEST_ANSWER)
        return httpx.Response(response.status_code, content=bytes(content))

    def without_key(self, text: str) -> str:
        """What an endpoint said; some repeat the key that they refuse."""
        return text.replace(self.key, "…") if self.key and self.target else text


def find_upstream(deployment: Deployment) -> Upstream:
    """Resolves an endpoint's host, which may take a while. Raises UserError when it may not be called."""
    if not deployment.is_remote:
        return Upstream(f"{deployment.url}/v1", deployment.name, deployment.token)
    target = check_endpoint(deployment.model.endpoint_url)
    base = target.url if target.url.endswith("/v1") else f"{target.url}/v1"
    model = deployment.model.endpoint_model or deployment.name
    return Upstream(base, model, secrets.decrypt(deployment.model.endpoint_key), target)


async def upstream_of(deployment: Deployment) -> Upstream:
    """The same in an event loop; the deployment comes with its model."""
    if not deployment.is_remote:
        return find_upstream(deployment)
    return await asyncio.to_thread(find_upstream, deployment)


async def read_limited(response: httpx.Response, limit: int = LONGEST_ANSWER) -> bytes:
    """The body; one that is longer than any honest answer counts as a broken connection."""
    content = bytearray()
    async for chunk in response.aiter_raw():
        content += chunk
        _check_length(len(content), limit)
    return bytes(content)


def _check_length(length: int, limit: int) -> None:
    if length > limit:
        raise httpx.RemoteProtocolError("the answer is too long")
