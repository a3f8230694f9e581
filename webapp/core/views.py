"""Views that belong to no app: the health check and the language switch."""

from django.contrib.auth import get_user_model
from django.db import connection
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.views.decorators.http import require_GET
from django.views.i18n import set_language as django_set_language

from webapp.core.errors import NotFound, UserError
from webapp.core.middleware import say_error


@require_GET
def health(request: HttpRequest) -> JsonResponse:
    """For probes: the web answers and its database does."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT 1")
    return JsonResponse({"status": "ok"})


def set_language(request: HttpRequest) -> HttpResponse:
    """POST language and next; remembered in a cookie, and with the account when logged in."""
    response = django_set_language(request)
    language = request.POST.get("language", "")
    if request.user.is_authenticated and language in {"en", "zh-hans"}:
        get_user_model()._default_manager.filter(pk=request.user.pk).update(language=language)
    return response


def not_found(request: HttpRequest, exception: Exception) -> HttpResponse:
    """An address that no page has."""
    return say_error(request, NotFound())


def crashed(request: HttpRequest) -> HttpResponse:
    """A defect of ours: the log has its traceback, the reader a sentence."""
    problem = UserError(
        "server.crashed", "Something broke on the server; it has been logged. Try again, or go back to the start.", status=500
    )
    return say_error(request, problem)


def stale(request: HttpRequest, reason: str = "") -> HttpResponse:
    """A form without the token of this session (`reason`, for the log alone): an old tab, or somebody else's site."""
    problem = UserError(
        "request.stale_form",
        "This page is no longer valid, perhaps because you logged in again; reload it and try once more.",
        status=403,
    )
    return say_error(request, problem)


def refused(request: HttpRequest, exception: Exception) -> HttpResponse:
    """Whatever Django itself refuses."""
    return say_error(request, UserError("request.refused", "This is not allowed here.", status=403))
