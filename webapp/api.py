"""The API: one NinjaAPI below /api/v1/, a router per app, errors always {"error": {"code", "message", "details"}}."""

from typing import Any

from django.conf import settings
from django.core.exceptions import RequestDataTooBig
from django.http import Http404, HttpRequest, HttpResponse
from ninja import NinjaAPI
from ninja.errors import AuthenticationError, HttpError, ValidationError
from ninja.parser import Parser
from pydantic import ValidationError as SpecError

from webapp.accounts.api import router as accounts
from webapp.accounts.auth import API_AUTH
from webapp.chat.api import router as chat
from webapp.core.bodies import parse_json
from webapp.core.errors import NotFound, UserError, error_body
from webapp.datasets.api import router as datasets
from webapp.datasets.processing.api import router as processing
from webapp.evals.api import router as evals
from webapp.jobs.api import router as jobs
from webapp.labeling.api import router as labeling
from webapp.projects.api import router as projects
from webapp.registry.api import router as registry
from webapp.serving.api import router as serving


class StrictParser(Parser):
    def parse_body(self, request: HttpRequest) -> Any:
        return parse_json(request.body)


api = NinjaAPI(
    title="Shuyuan",
    version="1",
    auth=API_AUTH,
    docs_url=None,
    openapi_url="openapi.json",
    urls_namespace="api",
    parser=StrictParser(),
)
for tag, router in {
    "accounts": accounts,
    "datasets": datasets,
    "processing": processing,
    "labelling": labeling,
    "jobs": jobs,
    "models": registry,
    "evaluation": evals,
    "serving": serving,
    "chat": chat,
    "projects": projects,
}.items():
    api.add_router("", router, tags=[tag])


def answer(request: HttpRequest, error: UserError) -> HttpResponse:
    return api.create_response(request, error_body(error), status=error.status)


@api.exception_handler(UserError)
def user_error(request: HttpRequest, error: UserError) -> HttpResponse:
    return answer(request, error)


@api.exception_handler(Http404)
def not_found(request: HttpRequest, error: Http404) -> HttpResponse:
    return answer(request, NotFound())


@api.exception_handler(AuthenticationError)
def not_authenticated(request: HttpRequest, error: AuthenticationError) -> HttpResponse:
    return answer(request, UserError("auth.required", "Log in, or send an API key as “Authorization: Bearer sy_…”.", status=401))


@api.exception_handler(HttpError)
def http_error(request: HttpRequest, error: HttpError) -> HttpResponse:
    if isinstance(error.__cause__, UserError):  # what the parser of bodies said
        return answer(request, error.__cause__)
    if error.status_code == 403:
        return answer(
            request,
            UserError("auth.csrf", "The request has no valid CSRF token; reload the page, or send an API key.", status=403),
        )
    return answer(request, UserError("request.refused", "{reason}", status=error.status_code, reason=str(error)))


@api.exception_handler(RequestDataTooBig)
def body_too_large(request: HttpRequest, error: RequestDataTooBig) -> HttpResponse:
    return answer(
        request,
        UserError(
            "request.too_large",
            "The body of the request is larger than {limit} MB; send less, or upload a file in parts.",
            status=413,
            limit=settings.DATA_UPLOAD_MAX_MEMORY_SIZE // 2**20,
        ),
    )


@api.exception_handler(ValidationError)
def validation_error(request: HttpRequest, error: ValidationError) -> HttpResponse:
    return answer(request, invalid(error.errors))


@api.exception_handler(SpecError)
def spec_error(request: HttpRequest, error: SpecError) -> HttpResponse:
    return answer(request, invalid(error.errors(include_url=False, include_context=False, include_input=False)))


def invalid(errors: list[Any]) -> UserError:
    """The first thing wrong with a request body, in one sentence; all of them in the details."""
    first = errors[0] if errors else {"loc": (), "msg": ""}
    field = ".".join(str(part) for part in first["loc"] if part not in {"body", "payload", "query", "path"})
    problem = UserError(
        "request.invalid", "The field “{field}” is not right: {reason}.", status=422, field=field, reason=first["msg"]
    )
    problem.params["errors"] = [{"loc": list(item["loc"]), "msg": item["msg"]} for item in errors[:20]]
    return problem
