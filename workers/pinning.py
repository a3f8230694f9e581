"""Connections that go where they were checked to go.

A host name that a user gave is resolved and checked once; who connects later by name could be led elsewhere (DNS
rebinding). These transports connect to the checked addresses; the Host header and the certificate's name stay the host's.
"""

from collections.abc import Sequence
from urllib.parse import urlsplit

import httpx


def _pin(request: httpx.Request, address: str) -> httpx.Request:
    """The same request, to be sent to an address. A copy, because a request may be tried at several."""
    host = request.extensions.get("sni_hostname") or request.url.host
    return httpx.Request(
        request.method,
        request.url.copy_with(host=address),
        headers=request.headers,
        stream=request.stream,
        extensions={**request.extensions, "sni_hostname": host},
    )


class _Checked:
    def __init__(self, url: str, addresses: Sequence[str]) -> None:
        self.host = urlsplit(url).hostname or ""
        self.addresses = tuple(addresses)

    def order(self, request: httpx.Request) -> tuple[str, ...]:
        """The addresses to try. Another host than the checked one is never called."""
        if request.url.host.strip("[]").lower() != self.host.lower() or not self.addresses:
            raise httpx.UnsupportedProtocol(f"{request.url.host} has not been checked", request=request)
        return self.addresses


class Pinned(httpx.HTTPTransport):
    """For httpx.Client: goes to `addresses` when `url`'s host is asked for, to nothing else."""

    def __init__(self, url: str, addresses: Sequence[str]) -> None:
        super().__init__()
        self._checked = _Checked(url, addresses)

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        *others, last = self._checked.order(request)
        for address in others:
            try:
                return super().handle_request(_pin(request, address))
            except httpx.ConnectError:
                continue
        return super().handle_request(_pin(request, last))


class AsyncPinned(httpx.AsyncHTTPTransport):
    """The same for httpx.AsyncClient."""

    def __init__(self, url: str, addresses: Sequence[str], limits: httpx.Limits | None = None) -> None:
        super().__init__(limits=limits or httpx.Limits(max_connections=100, max_keepalive_connections=20))
        self._checked = _Checked(url, addresses)

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        *others, last = self._checked.order(request)
        for address in others:
            try:
                return await super().handle_async_request(_pin(request, address))
            except httpx.ConnectError:
                continue
        return await super().handle_async_request(_pin(request, last))
