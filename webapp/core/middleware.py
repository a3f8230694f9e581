"""Middleware: the content security policy, and user errors turned into a sentence (a page, or JSON for scripts)."""

from collections.abc import Awaitable, Callable
from typing import Any

from asgiref.sync import iscoroutinefunction
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.shortcuts import render
from django.utils.decorators import sync_and_async_middleware
from django.utils.deprecation import MiddlewareMixin

from webapp.core.errors import UserError, error_body, folded

POLICY = (
    "default-src 'self'; script-src 'self'; style-src 'self'{style}; img-src 'self' data: blob:; media-src 'self' blob:; "
    "connect-src 'self'; font-src 'self' data:; object-src 'none'; base-uri 'none'; frame-ancestors 'none'; form-action 'self'"
)
Handler = Callable[[HttpRequest], Any]


@sync_and_async_middleware
def content_security_policy(get_response: Handler) -> Callable[[HttpRequest], HttpResponse | Awaitable[HttpResponse]]:
    """Scripts only from our own files. A view that draws charts sets `response.inline_styles = True` (plotly needs them)."""

    def protect(response: HttpResponse) -> HttpResponse:
        style = " 'unsafe-inline'" if getattr(response, "inline_styles", False) else ""
        response.headers.setdefault("Content-Security-Policy", POLICY.format(style=style))
        return response

    if iscoroutinefunction(get_response):

        async def asynchronous(request: HttpRequest) -> HttpResponse:
            return protect(await get_response(request))

        return asynchronous

    def synchronous(request: HttpRequest) -> HttpResponse:
        response: HttpResponse = get_response(request)
        return protect(response)

    return synchronous


class UserErrors(MiddlewareMixin):
    """Answers a UserError raised by a view with its sentence and status."""

    def process_view(self, request: HttpRequest, *_: Any) -> HttpResponse | None:
        if "\x00" in request.path or "%00" in request.META.get("QUERY_STRING", ""):
            # no database takes this character in a search
            problem = UserError("request.bad_character", "The address holds the character NUL; remove it.")
            return self.process_exception(request, problem)
        return None

    def process_exception(self, request: HttpRequest, exception: Exception) -> HttpResponse | None:
        if not isinstance(exception, UserError):
            return None
        return say_error(request, exception)

    def process_response(self, request: HttpRequest, response: HttpResponse) -> HttpResponse:
        """Django refuses a method without a word; a browser then shows a page of its own."""
        if response.status_code != 405 or response.streaming or response.content:
            return response
        problem = UserError("request.method", "This address only takes what a form sends; open the form instead.", status=405)
        refusal = say_error(request, problem)
        refusal.headers["Allow"] = response.headers.get("Allow", "")
        return refusal


user_errors = UserErrors


def say_error(request: HttpRequest, error: UserError) -> HttpResponse:
    """The error's sentence as a page, or as JSON for scripts."""
    if wants_json(request):
        return JsonResponse(error_body(error), status=error.status)
    sentence, details = folded(error.template, error.params)
    context = {"message": sentence, "technical": details, "status": error.status}
    return render(request, "core/error.html", context, status=error.status)


def wants_json(request: HttpRequest) -> bool:
    """Scripts (fetch, htmx, API clients) get JSON; a person's page load gets a page."""
    if request.path.startswith(("/api/", "/v1/")) or request.headers.get("HX-Request"):
        return True
    return "application/json" in request.headers.get("Accept", "")
