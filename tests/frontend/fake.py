"""A stand-in for the back end, in memory, that keeps the contracts of docs/frontend.md: `python -m tests.frontend.fake PORT`.

It renders the real base.html, partials and built islands, under the product's content security policy.
Tests reach into it through POST /fake/… (drop sockets, fail the next answers, publish news).
"""

import asyncio
import json
import sys
from pathlib import Path
from typing import Any

import django
from django.conf import settings

ROOT = Path(__file__).resolve().parents[2]
settings.configure(
    BASE_DIR=ROOT,
    DEBUG=False,
    SECRET_KEY="only-for-tests",
    ALLOWED_HOSTS=["*"],
    ROOT_URLCONF="tests.frontend.fake_pages",
    INSTALLED_APPS=["webapp.core"],
    MIDDLEWARE=["django.middleware.locale.LocaleMiddleware", "tests.frontend.fake_pages.policy"],
    TEMPLATES=[
        {
            "BACKEND": "django.template.backends.django.DjangoTemplates",
            "DIRS": [ROOT / "templates"],
            "OPTIONS": {
                "context_processors": ["django.template.context_processors.request"],
                "builtins": ["django.templatetags.i18n", "webapp.core.templatetags.assets", "webapp.core.templatetags.numbers"],
            },
        }
    ],
    LANGUAGE_CODE="en",
    LANGUAGES=[("en", "English"), ("zh-hans", "简体中文")],
    LANGUAGE_COOKIE_NAME="shuyuan_language",
    STATIC_URL="/static/",
    CSRF_COOKIE_NAME="shuyuan_csrf",
    USE_TZ=True,
)
django.setup()

from django.core.asgi import get_asgi_application  # noqa: E402

from tests.frontend import fake_state as state  # noqa: E402

pages = get_asgi_application()


async def application(scope: dict[str, Any], receive: Any, send: Any) -> None:
    if scope["type"] == "websocket":
        await socket(scope, receive, send)
    elif scope["type"] == "http":
        await pages(scope, receive, send)


async def socket(scope: dict[str, Any], receive: Any, send: Any) -> None:
    """`/ws/events/` and `/ws/chat/{id}/`: outgoing messages wait in a queue that the state fills."""
    await receive()
    if state.world["refuse_sockets"]:
        await send({"type": "websocket.close", "code": 1013})
        return
    await send({"type": "websocket.accept"})
    queue: asyncio.Queue[dict[str, Any] | None] = asyncio.Queue()
    connection = state.Connection(path=scope["path"], queue=queue)
    state.connections.append(connection)
    writer = asyncio.create_task(write(queue, send))
    try:
        while (message := await receive())["type"] == "websocket.receive":
            connection.heard(json.loads(message["text"]))
    finally:
        state.connections.remove(connection)
        writer.cancel()


async def write(queue: asyncio.Queue[dict[str, Any] | None], send: Any) -> None:
    while (message := await queue.get()) is not None:
        await send({"type": "websocket.send", "text": json.dumps(message)})
    await send({"type": "websocket.close", "code": 1012})


if __name__ == "__main__":
    import uvicorn

    uvicorn.run(application, host="127.0.0.1", port=int(sys.argv[1]), log_level="warning", lifespan="off")
