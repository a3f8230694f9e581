"""Django behind ASGI with one change of threads for a request instead of two for every middleware.

Django's own handler goes to a thread and back for each hook of each middleware, about twenty times for a page, which costs
more than the page. Here the whole way from the first middleware to the view runs in the request's thread.
"""

from typing import Any

import django
from asgiref.sync import sync_to_async
from django.core.handlers.asgi import ASGIHandler
from django.core.handlers.base import BaseHandler
from django.http import HttpRequest, HttpResponseBase


class ThreadHandler(ASGIHandler):
    """For synchronous views; one that is not would block its thread while it waits."""

    def load_middleware(self, is_async: bool = False) -> None:
        BaseHandler.load_middleware(self, is_async=False)

    async def get_response_async(self, request: HttpRequest) -> Any:
        respond: Any = sync_to_async(self.get_response, thread_sensitive=True)
        response: HttpResponseBase = await respond(request)
        return response


def application() -> ThreadHandler:
    django.setup(set_prefix=False)
    return ThreadHandler()
