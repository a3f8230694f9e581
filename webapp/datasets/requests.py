"""The type of a request whose sender is known: what the decorators of pages and the API's authentication guarantee."""

from django.http import HttpRequest

from webapp.accounts.models import User


class MemberRequest(HttpRequest):
    user: User
