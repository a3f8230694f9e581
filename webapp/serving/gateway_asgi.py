"""The short way to the gateway: requests to /v1/ skip the middleware that pages need.

That middleware is synchronous in part, so every request would hold a thread until its answer begins. The gateway's views
know their callers by themselves, so nothing is lost; the same views stay reachable through Django's URLs.
"""

from typing import Any

from django.core.handlers.asgi import ASGIHandler
from django.core.handlers.exception import convert_exception_to_response

PREFIX = "/v1/"


class GatewayHandler(ASGIHandler):
    def load_middleware(self, is_async: bool = False) -> None:
        self._view_middleware: list[Any] = []
        self._template_response_middleware: list[Any] = []
        self._exception_middleware: list[Any] = []
        self._middleware_chain = convert_exception_to_response(self._get_response_async)  # type: ignore[attr-defined]


def with_gateway(django_application: Any) -> Any:
    """The HTTP application: /v1/ on the short way, everything else through `django_application`."""
    gateway = GatewayHandler()

    async def application(scope: Any, receive: Any, send: Any) -> None:
        chosen = gateway if scope["path"].startswith(PREFIX) else django_application
        await chosen(scope, receive, send)

    return application
