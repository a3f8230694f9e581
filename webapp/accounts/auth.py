"""How the API knows who asks: a session with CSRF protection, or `Authorization: Bearer sy_…`."""

from typing import Any

from django.conf import settings
from django.http import HttpRequest
from ninja.security import HttpBearer, SessionAuth

from webapp.accounts.models import User
from webapp.accounts.services import authenticate_key

READING = {"GET", "HEAD", "OPTIONS"}


class KeyAuth(HttpBearer):
    """A key with the scope `read` for reading and `write` for everything else; request.user becomes its owner."""

    def authenticate(self, request: HttpRequest, token: str) -> User | None:
        user = authenticate_key(token, "read" if request.method in READING else "write")
        if user is not None:
            request.user = user
        return user


class SessionUser(SessionAuth):
    def _get_key(self, request: HttpRequest) -> str | None:
        """Only a session needs the CSRF token: a script without a good key is told about keys, not about tokens."""
        return super()._get_key(request) if settings.SESSION_COOKIE_NAME in request.COOKIES else None

    def authenticate(self, request: HttpRequest, key: str | None) -> Any:
        return request.user if request.user.is_authenticated else None


API_AUTH = [KeyAuth(), SessionUser()]
