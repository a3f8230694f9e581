"""Pages and API of the stand-in."""

import asyncio
import json
import re
from collections.abc import AsyncIterator
from http import HTTPStatus
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from django.conf import settings
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseBase, JsonResponse, StreamingHttpResponse
from django.middleware.csrf import get_token
from django.shortcuts import redirect
from django.template import engines
from django.urls import path
from django.views.i18n import set_language

from tests.frontend import fake_state as state
from tests.frontend import fake_tools as tools
from webapp.core.middleware import POLICY

FOLDER = Path(__file__).parent / "pages"
LABELS = [
    ("card_arrival", "Card arrival · 卡片何时到"),
    ("refund", "Refund · 退款"),
    ("order_status", "Order status · 订单状态"),
]
RECORDS = [
    {
        "id": f"q{number}",
        "text": f"Question {number}: where is the book that I ordered last week? 我上周订的书在哪里？",
        "messages": [
            {"role": "user", "content": f"Question {number}: may I send a book back?"},
            {"role": "assistant", "content": "Yes, within thirty days."},
        ],
    }
    for number in range(1, 7)
]


class Person(SimpleNamespace):
    is_authenticated = True

    def __str__(self) -> str:
        return "Lin Ying"


def policy(get_response: Any) -> Any:
    def protect(request: HttpRequest) -> HttpResponseBase:
        if state.world["fail_next"] and request.path.startswith("/api/"):
            status = state.world["fail_next"].pop(0)
            return JsonResponse({"error": {"code": "fake", "message": f"The stand-in fails with {status}."}}, status=status)
        response: HttpResponseBase = get_response(request)
        inline = " 'unsafe-inline'" if "chart" in request.path else ""
        response.headers["Content-Security-Policy"] = POLICY.format(style=inline)
        return response

    return protect


def page(request: HttpRequest, slug: str = "demo", name: str = "home") -> HttpResponse:
    if request.method == "POST" and not state.world["refuse_project"]:
        state.world["project"] = {"name": request.POST["name"], "schema": json.loads(request.POST["questions"])}
        return redirect("/w/demo/label")
    source = FOLDER / f"{name}.html"
    if not source.is_file():
        source = FOLDER / "home.html"
    tool = request.GET.get("tool")
    if tool and "records" not in request.GET:
        state.world["records"] = tools.records(tool)
    workspace = SimpleNamespace(slug=slug, name="书院小店 · Bookshop")
    context = {
        "workspace": workspace,
        "workspaces": [workspace, SimpleNamespace(slug="two", name="Second workspace")],
        "user": Person(),
        "nav_active": name,
        "csrf_token": get_token(request),
        "labels": tools.schema(tool) if tool else schema(request.GET.get("labels", "3"), request.GET.get("fields", "choice")),
        "mode": request.GET.get("mode", ""),
        "trouble": state.world["refuse_project"],
        "questions": json.loads(request.POST.get("questions") or "null"),
        "turns": list(state.world["turns"].values()),
        "steps": [
            {"label": "Choose", "state": "done", "url": "#"},
            {"label": "Import", "state": "current"},
            {"label": "Check", "state": ""},
        ],
    }
    return HttpResponse(engines["django"].from_string(source.read_text("utf-8")).render(context, request))


def schema(count: str, fields: str) -> dict[str, Any]:
    labels = LABELS + [(f"intent_{n:02}", f"Intent number {n}") for n in range(4, int(count) + 1)]
    choice = {"name": "intent", "type": "choice", "label": "Intent", "required": True}
    choice["choices"] = [{"value": value, "label": label} for value, label in labels[: int(count)]]
    several = {**choice, "name": "topics", "label": "Topics", "multiple": True, "required": False}
    answer = {"name": "answer", "type": "text", "label": "Answer", "required": True, "source": "messages.last"}
    known = {"choice": choice, "several": several, "text": answer}
    return {"fields": [known[name] for name in fields.split(",")]}


def static(request: HttpRequest, name: str) -> HttpResponse:
    file = settings.BASE_DIR / "static" / "dist" / name
    if not file.is_file():
        raise Http404(name)
    kinds = {".js": "text/javascript", ".css": "text/css", ".svg": "image/svg+xml", ".json": "application/json"}
    return HttpResponse(file.read_bytes(), content_type=kinds[file.suffix])


def body(request: HttpRequest) -> dict[str, Any]:
    parsed: dict[str, Any] = json.loads(request.body or b"{}")
    state.world["calls"].append([f"{request.method} {request.path}", parsed])
    return parsed


def fragment(request: HttpRequest) -> HttpResponse:
    state.world["counter"] += 1
    return HttpResponse(f"<b>{state.world['counter']}</b>")


def uploads(request: HttpRequest, slug: str) -> JsonResponse:
    asked = body(request)
    number = len(state.world["uploads"]) + 1
    state.world["uploads"][number] = {"name": asked["name"], "size": asked["size"], "data": b""}
    return JsonResponse({"id": number, "offset": 0})


def upload(request: HttpRequest, number: int) -> JsonResponse:
    kept = state.world["uploads"][number]
    if request.method == "PUT":
        offset = int(request.GET["offset"])
        state.world["calls"].append([f"PUT part {number}", {"offset": offset, "length": len(request.body)}])
        if offset != len(kept["data"]):
            wrong = {"error": {"code": "uploads.offset", "message": "The part does not follow."}, "offset": len(kept["data"])}
            return JsonResponse(wrong, status=HTTPStatus.CONFLICT)
        kept["data"] += request.body
    ended = "complete" if len(kept["data"]) == kept["size"] else "receiving"
    return JsonResponse({"offset": len(kept["data"]), "size": kept["size"], "state": ended})


def figure(request: HttpRequest) -> JsonResponse:
    state.world["figures"] += 1
    steps = list(range(1, 201 + 20 * state.world["figures"]))
    loss = [3.2 / (1 + step / 30) + 0.15 * ((step * 37) % 11 - 5) / 11 for step in steps]
    held_out = [3.3 / (1 + step / 32) + 0.1 for step in steps]
    lines = [
        {"type": "scatter", "mode": "lines", "name": "training", "x": steps, "y": loss, "line": {"color": "#2f6f62"}},
        {"type": "scatter", "mode": "lines", "name": "held out", "x": steps, "y": held_out, "line": {"color": "#c8553d"}},
    ]
    axes = {"xaxis": {"title": {"text": "step"}}, "yaxis": {"title": {"text": "loss"}}}
    return JsonResponse({"data": lines, "layout": {**axes, "showlegend": True}})


def task_answer() -> dict[str, Any]:
    at = state.world["current"]
    records = state.world["records"] or RECORDS
    done = {"done": len(state.world["done"]), "total": len(records), "mine": len(state.world["done"])}
    if at >= len(records):
        return {"empty": {"reason": "done"}, "progress": done}
    task = {"id": at + 1, "data": records[at], "position": at + 1, **state.world["task_extra"]}
    return {
        "task": task,
        "draft": state.world["drafts"].get(at + 1, state.world["draft_for_all"]),
        "lease": {"expires_at": None},
        "progress": done,
    }


def next_task(request: HttpRequest) -> JsonResponse:
    return JsonResponse(task_answer())


def task_action(request: HttpRequest, number: int, action: str) -> JsonResponse:
    asked = body(request)
    if action == "annotations":
        state.world["done"].setdefault(number, asked.get("value"))
        state.world["current"] = number
        return JsonResponse({"annotation": {"id": number}, "next": task_answer()})
    if action == "draft":
        state.world["drafts"][number] = asked["value"]
    if action == "skip":
        state.world["skipped"].append(number)
        state.world["current"] = number
        return JsonResponse({"next": task_answer()})
    return JsonResponse({})


def undo(request: HttpRequest) -> JsonResponse:
    body(request)
    state.world["current"] = max(0, state.world["current"] - 1)
    number = state.world["current"] + 1
    state.world["drafts"][number] = state.world["done"].pop(number, None)
    return JsonResponse(task_answer())


async def send_turn(request: HttpRequest) -> JsonResponse:
    asked = body(request)
    question = state.new_turn("user", asked["content"], asked.get("parent"))
    state.say({"type": "turn", "turn": question})
    answer = state.start_answer(question["id"])
    return JsonResponse({"turns": [question, {**answer}]})


async def turn_action(request: HttpRequest, number: int, action: str) -> JsonResponse:
    asked = body(request)
    turn = state.world["turns"][number]
    if action == "stop":
        state.finish(turn, "stopped")
    if action == "regenerate":
        return JsonResponse({"turns": [{**state.start_answer(turn["parent"])}]})
    if action == "feedback":
        turn["feedback"] = asked
    return JsonResponse({"turn": turn})


def media(request: HttpRequest, name: str) -> HttpResponse:
    """With ranges, without which browsers cannot seek."""
    kind, make = tools.MEDIA[name]
    content = make()
    asked = re.fullmatch(r"bytes=(\d+)-(\d*)", request.headers.get("Range", ""))
    if not asked:
        return HttpResponse(content, content_type=kind, headers={"Accept-Ranges": "bytes"})
    first, last = int(asked[1]), int(asked[2] or len(content) - 1)
    headers = {"Accept-Ranges": "bytes", "Content-Range": f"bytes {first}-{last}/{len(content)}"}
    return HttpResponse(content[first : last + 1], status=206, content_type=kind, headers=headers)


def models(request: HttpRequest) -> JsonResponse:
    return JsonResponse({"data": [{"id": "starter-sft", "owned_by": "demo"}, {"id": "elsewhere", "owned_by": "other"}]})


async def completions(request: HttpRequest) -> StreamingHttpResponse:
    body(request)

    async def events() -> AsyncIterator[bytes]:
        for piece in ("Thirty ", "days, ", "及时 😀."):
            await asyncio.sleep(state.world["speed"])
            yield f"data: {json.dumps({'choices': [{'delta': {'content': piece}}]})}\n\n".encode()
        yield b"data: [DONE]\n\n"

    return StreamingHttpResponse(events(), content_type="text/event-stream")


def presets(request: HttpRequest) -> JsonResponse:
    first = {"name": "classification", "title": "Choose a label", "description": "One label for each text.", "schema": None}
    names = {"name": "entities", "title": "Mark names", "description": "Spans.", "schema": tools.schema("spans")}
    return JsonResponse([first, names], safe=False)


def version_records(request: HttpRequest) -> JsonResponse:
    record = {**tools.CONVERSATION_RECORD, **tools.TOOLS["spans"][1], "media": tools.TOOLS["regions"][1]["media"]}
    return JsonResponse({"items": [{"position": at, "data": {**record, "id": str(at)}} for at in range(3)]})


def turns(request: HttpRequest) -> JsonResponse:
    state.world["fetches"] += 1
    return JsonResponse({"turns": list(state.world["turns"].values()), "leaf": state.world["leaf"]})


def noted(request: HttpRequest) -> JsonResponse:
    body(request)
    return JsonResponse({})


async def control(request: HttpRequest, command: str) -> JsonResponse:
    """What tests do to the stand-in."""
    asked = json.loads(request.body or b"{}")
    if command == "reset":
        state.reset()
    elif command == "set":
        state.world.update(asked)
    elif command == "drop":
        state.drop_sockets()
    elif command == "fill":
        for number in range(asked["turns"] // 2):
            question = state.new_turn("user", f"Question {number}", state.world["leaf"])
            state.new_turn("assistant", state.ANSWER, question["id"], usage={}, feedback=None)
    elif command == "publish":
        state.publish(asked["topic"], asked.get("payload", {}))
    shown = {key: value for key, value in state.world.items() if key != "uploads"}
    sizes = {str(number): len(kept["data"]) for number, kept in state.world["uploads"].items()}
    topics = sorted({topic for one in state.connections for topic in one.topics})
    chats = sum(one.path.startswith("/ws/chat/") for one in state.connections)
    return JsonResponse({**shown, "uploads": sizes, "topics": topics, "chat_sockets": chats})


urlpatterns = [
    path("", lambda request: redirect("/w/demo/home")),
    path("i18n/setlang/", set_language, name="set_language"),
    path("login/", page, {"name": "login"}, name="login"),
    path("logout/", noted, name="logout"),
    *[
        path(f"w/<slug:slug>/{name}", page, {"name": name}, name=name)
        for name in (
            *("home", "datasets", "labeling", "training", "models", "evaluations", "deployments", "chat", "jobs", "settings"),
            *("charts", "chart_pair", "upload", "label", "builder"),
        )
    ],
    path("fragment/", fragment),
    path("static/<str:name>", static),
    path("api/v1/workspaces/<slug:slug>/uploads", uploads),
    path("api/v1/uploads/<int:number>", upload),
    path("api/v1/figure", figure),
    path("api/v1/label-projects/1/next", next_task),
    path("api/v1/label-projects/1/undo", undo),
    path("api/v1/tasks/<int:number>/<str:action>", task_action),
    path("api/v1/conversations/1/turns", turns),
    path("api/v1/conversations/1/messages", send_turn),
    path("api/v1/conversations/1/settings", noted),
    path("api/v1/turns/<int:number>/<str:action>", turn_action),
    path("api/v1/versions/1/label-presets", presets),
    path("api/v1/versions/1/records", version_records),
    path("media/<str:name>", media),
    path("v1/models", models),
    path("v1/chat/completions", completions),
    path("fake/<str:command>", control),
]
