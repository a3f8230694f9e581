"""The OpenAI-compatible gateway: who asks, which deployment, is it ready, then bytes straight through.

Answers and errors have the OpenAI form, so that its clients raise the exceptions that their users know.
"""

import asyncio
import functools
import json
import time
from collections.abc import AsyncIterator, Callable, Coroutine
from dataclasses import dataclass
from typing import Any

import httpx
from asgiref.sync import sync_to_async
from django.conf import settings
from django.contrib.auth.middleware import AuthenticationMiddleware
from django.contrib.sessions.middleware import SessionMiddleware
from django.core.exceptions import RequestDataTooBig
from django.db import close_old_connections, connection
from django.http import HttpRequest, HttpResponse, HttpResponseBase, JsonResponse, StreamingHttpResponse
from django.views.decorators.csrf import csrf_exempt
from ninja.utils import check_csrf

from webapp.accounts.models import User
from webapp.accounts.services import authenticate_key
from webapp.core.bodies import SUSPECT, parse_json
from webapp.core.errors import UserError, translate
from webapp.serving import accounting
from webapp.serving.access import usable_deployments
from webapp.serving.limits import seconds_to_wait
from webapp.serving.models import Deployment, Health, Wanted
from webapp.serving.streams import StreamMeter
from webapp.serving.upstream import Upstream, read_limited, upstream_of

POLL_SECONDS = 0.1
REFUSED_KEY = {401, 403}
RETRY_AFTER = 5
TYPES = {401: "authentication_error", 403: "permission_error", 404: "not_found_error", 429: "rate_limit_error"}
View = Callable[..., Coroutine[Any, Any, HttpResponseBase]]


class GatewayError(Exception):
    """An answer other than success, in OpenAI's form."""

    def __init__(self, status: int, message: str, *, code: str | None = None, param: str | None = None, wait: int = 0) -> None:
        super().__init__(message)
        self.status, self.wait = status, wait
        kind = TYPES.get(status, "invalid_request_error" if status < 500 else "server_error")
        self.body = {"error": {"message": message, "type": kind, "param": param, "code": code}}

    def response(self) -> JsonResponse:
        response = JsonResponse(self.body, status=self.status, json_dumps_params={"ensure_ascii": False})
        if self.wait:
            response["Retry-After"] = str(self.wait)
        if self.status == 401:
            response["WWW-Authenticate"] = "Bearer"
        return response


@dataclass(frozen=True)
class Caller:
    user: User
    key_id: int | None

    @property
    def name(self) -> str:
        return f"key:{self.key_id}" if self.key_id else f"user:{self.user.pk}"


async def ask(work: Callable[..., Any], *given: Any) -> Any:
    """Database work in the request's thread. A client that leaves ends the request before Django closes its connection."""

    def work_and_close() -> Any:
        try:
            return work(*given)
        finally:
            if not connection.in_atomic_block:  # as it is in tests
                close_old_connections()

    return await sync_to_async(work_and_close)()


def gateway_view(*methods: str) -> Callable[[View], View]:
    """An async view whose errors are OpenAI error objects. CSRF is checked where a session is used, not for keys."""

    def decorate(view: View) -> View:
        @csrf_exempt
        @functools.wraps(view)
        async def guarded(request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
            try:
                if request.method not in methods:
                    raise GatewayError(405, f"Use {' or '.join(methods)} here.", code="method_not_allowed")
                caller = await ask(authenticate, request)
                if wait := await seconds_to_wait(caller.name):
                    raise GatewayError(429, "Too many requests with this key; wait a little.", code="rate_limit", wait=wait)
                return await view(request, caller, *args, **kwargs)
            except GatewayError as error:
                return error.response()

        return guarded

    return decorate


def authenticate(request: HttpRequest) -> Caller:
    """A Bearer key with the scope `inference`, or the session of somebody who is logged in."""
    scheme, _, token = request.headers.get("Authorization", "").partition(" ")
    if scheme.lower() == "bearer":
        user = authenticate_key(token.strip(), "inference")
        if user is None:
            raise GatewayError(
                401,
                "This API key is unknown, expired or lacks the scope “inference”; create another one.",
                code="invalid_api_key",
            )
        return Caller(user, user.api_key.pk)  # type: ignore[attr-defined]
    if not hasattr(request, "user"):  # on the short way there is no middleware
        SessionMiddleware(_no_response).process_request(request)
        AuthenticationMiddleware(_no_response).process_request(request)
    if not request.user.is_authenticated:
        raise GatewayError(401, "Send an API key as “Authorization: Bearer sy_…”.", code="invalid_api_key")
    if request.method == "POST" and check_csrf(request) is not None:
        raise GatewayError(403, "The CSRF token is missing; send an API key instead.", code="csrf_failed")
    return Caller(request.user, None)


def _no_response(request: HttpRequest) -> HttpResponseBase:
    raise NotImplementedError


def find_deployment(caller: Caller, name: str) -> Deployment:
    """By the deployment's name, or `workspace/name` where two workspaces have one of that name."""
    slug, _, bare = name.rpartition("/")
    found = usable_deployments(caller.user).filter(name=bare)
    rows = list((found.filter(workspace__slug=slug) if slug else found)[:10])
    if not rows:
        raise GatewayError(
            404, f"There is no model “{name}”; GET /v1/models lists those you may use.", code="model_not_found", param="model"
        )
    if len(rows) > 1:
        names = ", ".join(f"{row.workspace.slug}/{row.name}" for row in rows)
        raise GatewayError(
            400, f"Several workspaces have a model “{name}”; name one of: {names}.", code="ambiguous", param="model"
        )
    return rows[0]


@gateway_view("GET")
async def models(request: HttpRequest, caller: Caller) -> HttpResponseBase:
    running = usable_deployments(caller.user).filter(wanted=Wanted.RUNNING).order_by("name", "pk")
    rows: list[Deployment] = await ask(list, running)
    count: dict[str, int] = {}
    for row in rows:
        count[row.name] = count.get(row.name, 0) + 1
    return JsonResponse({"object": "list", "data": [describe(row, alone=count[row.name] == 1) for row in rows]})


@gateway_view("GET")
async def model(request: HttpRequest, caller: Caller, name: str) -> HttpResponseBase:
    return JsonResponse(describe(await ask(find_deployment, caller, name), alone="/" not in name))


def describe(row: Deployment, *, alone: bool) -> dict[str, Any]:
    return {
        "id": row.name if alone else f"{row.workspace.slug}/{row.name}",
        "object": "model",
        "created": int(row.created_at.timestamp()),
        "owned_by": row.workspace.slug,
        "state": row.state,
        "context_length": row.engine.get("context_length"),
    }


@gateway_view("POST")
async def chat_completions(request: HttpRequest, caller: Caller) -> HttpResponseBase:
    return await forward(request, caller, "/chat/completions")


@gateway_view("POST")
async def completions(request: HttpRequest, caller: Caller) -> HttpResponseBase:
    return await forward(request, caller, "/completions")


@gateway_view("POST")
async def embeddings(request: HttpRequest, caller: Caller) -> HttpResponseBase:
    _, _, deployment = await read_request(request, caller)
    message = f"“{deployment.name}” generates text; no engine here computes embeddings."
    raise GatewayError(501, message, code="embeddings_not_supported", param="model")


@gateway_view("GET", "POST")
async def unknown(request: HttpRequest, caller: Caller, rest: str) -> HttpResponseBase:
    raise GatewayError(404, f"There is no /v1/{rest} here.", code="unknown_url")


async def read_request(request: HttpRequest, caller: Caller) -> tuple[bytes, dict[str, Any], Deployment]:
    """The raw body, the same as an object, and the deployment that it names."""
    try:
        raw = request.body
        body = parse_json(raw)
    except RequestDataTooBig as error:
        raise GatewayError(413, "The request is larger than 10 MB.", code="request_too_large") from error
    except UserError as error:
        raise GatewayError(400, translate(error.template, error.params), code="invalid_json") from error
    if not isinstance(body, dict):
        raise GatewayError(400, "The body must be a JSON object.", code="invalid_json")
    if SUSPECT.search(raw):
        raw = json.dumps(body, ensure_ascii=False).encode()  # without what was taken out
    name = body.get("model")
    if not isinstance(name, str) or not name:
        raise GatewayError(400, "Name a model: GET /v1/models lists those you may use.", code="missing_model", param="model")
    return raw, body, await ask(find_deployment, caller, name)


async def forward(request: HttpRequest, caller: Caller, path: str) -> HttpResponseBase:
    """Send the request to the engine and its answer back, as it comes."""
    raw, body, deployment = await read_request(request, caller)
    streamed = body.get("stream") is True
    options = body.get("stream_options")
    options = options if isinstance(options, dict) else {}
    hide_usage = streamed and not options.get("include_usage")
    there = await find_upstream(deployment)
    if hide_usage or body["model"] != there.model:
        extra = {"stream_options": {**options, "include_usage": True}} if hide_usage else {}
        raw = json.dumps({**body, "model": there.model, **extra}, ensure_ascii=False).encode()
    upstream = await open_upstream(deployment, there, path, raw)
    if streamed and upstream.is_success:
        content = relay(upstream, StreamMeter(hide_usage=hide_usage), deployment.pk, caller.key_id)
        response = StreamingHttpResponse(content, status=upstream.status_code, content_type="text/event-stream")
        response["Cache-Control"] = "no-cache"
        response["X-Accel-Buffering"] = "no"
        return response
    return await answer_whole(upstream, there, deployment, caller)


async def find_upstream(deployment: Deployment) -> Upstream:
    try:
        return await upstream_of(deployment)
    except UserError as error:
        raise GatewayError(502, error.message, code=error.code) from error


async def open_upstream(deployment: Deployment, there: Upstream, path: str, raw: bytes) -> httpx.Response:
    """The engine's answer up to its headers. An engine that is starting or just died is waited for, before the first byte."""
    give_up_at = time.monotonic() + settings.ENGINE_WAIT_SECONDS
    while True:
        await until_ready(deployment, give_up_at)
        if not deployment.is_remote:
            there = await find_upstream(deployment)  # an engine that was started again has another port
        headers = {**there.headers, "Content-Type": "application/json"}
        client = there.client()
        outgoing = client.build_request("POST", there.base + path, content=raw, headers=headers)
        try:
            return await client.send(outgoing, stream=True)
        except httpx.TransportError as error:
            if deployment.is_remote:
                raise GatewayError(
                    502, f"The endpoint behind “{deployment.name}” does not answer.", code="endpoint_away"
                ) from error
            if time.monotonic() >= give_up_at:
                raise not_ready(deployment) from error
            await asyncio.sleep(POLL_SECONDS)
            await deployment.arefresh_from_db(from_queryset=Deployment.objects.select_related("model"))


async def until_ready(deployment: Deployment, give_up_at: float) -> None:
    while deployment.state != Health.READY:
        hopeless = deployment.wanted == Wanted.STOPPED or deployment.health == Health.FAILED
        if hopeless or time.monotonic() >= give_up_at:
            raise not_ready(deployment)
        await asyncio.sleep(POLL_SECONDS)
        await deployment.arefresh_from_db(from_queryset=Deployment.objects.select_related("model"))


def not_ready(deployment: Deployment) -> GatewayError:
    if deployment.wanted == Wanted.STOPPED:
        return GatewayError(503, f"“{deployment.name}” is stopped; start it on its page.", code="model_stopped")
    if deployment.health == Health.FAILED:
        reason = translate(deployment.error.get("template", ""), deployment.error.get("params", {}))
        return GatewayError(503, f"“{deployment.name}” could not be started: {reason}", code="model_failed")
    return GatewayError(503, f"“{deployment.name}” is starting; try again soon.", code="model_not_ready", wait=RETRY_AFTER)


async def answer_whole(upstream: httpx.Response, there: Upstream, deployment: Deployment, caller: Caller) -> HttpResponse:
    counts = accounting.Counts(requests=1, errors=1)
    try:
        content = await read_limited(upstream)
    except httpx.TransportError as error:
        raise GatewayError(502, f"The engine of “{deployment.name}” was lost; try again.", code="engine_lost", wait=1) from error
    else:
        counts = counted(upstream, content)
    finally:
        await upstream.aclose()
        accounting.record(deployment.pk, caller.key_id, counts)
    if there.target and upstream.status_code in REFUSED_KEY:
        message = f"The endpoint behind “{deployment.name}” refuses its stored key; enter a valid one on the model's page."
        raise GatewayError(502, message, code="endpoint_key")
    if not upstream.is_success:
        content = there.without_key(content.decode("utf-8", "replace")).encode()
    response = HttpResponse(content, status=upstream.status_code, content_type="application/json")
    if "retry-after" in upstream.headers:
        response["Retry-After"] = upstream.headers["retry-after"]
    return response


def counted(upstream: httpx.Response, content: bytes) -> accounting.Counts:
    if not upstream.is_success:
        return accounting.Counts(requests=1, errors=1)
    try:
        usage = json.loads(content).get("usage")
    except (ValueError, AttributeError):
        usage = None
    return accounting.counts_of(usage)


async def relay(upstream: httpx.Response, meter: StreamMeter, deployment_id: int, key_id: int | None) -> AsyncIterator[bytes]:
    """Pass the stream on. When the client leaves, the engine stops generating; a lost engine ends it with an error event."""
    failed = 0
    try:
        async for chunk in upstream.aiter_raw():
            if passed := meter.feed(chunk):
                yield passed
        if rest := meter.rest():
            yield rest
    except httpx.TransportError:
        failed = 1
        body = GatewayError(502, "The engine was lost in the middle of the answer; try again.", code="engine_lost").body
        yield b"data: " + json.dumps(body, ensure_ascii=False).encode() + b"\n\n"
    finally:
        await asyncio.shield(upstream.aclose())
        accounting.record(deployment_id, key_id, accounting.counts_of(meter.usage, failed=failed, chunks=meter.chunks))
