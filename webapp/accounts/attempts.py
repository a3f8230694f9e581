"""Guessing passwords is slow: few failures per name and address, more per address, then a wait. Log-in links still work.

The counters are rows, so that they hold for all web processes and over restarts.
"""

import math
from datetime import timedelta

from django.utils import timezone

from webapp.accounts.models import FailedLogIn
from webapp.core.errors import UserError

WINDOW = timedelta(minutes=15)
PER_NAME = 10
PER_ADDRESS = 100


def require_patience(name: str, address: str) -> None:
    """Refuse another attempt of an address that failed too often with this name, or with any."""
    recent = FailedLogIn.objects.filter(address=address[:45], at__gt=timezone.now() - WINDOW).order_by("-at")
    for failures, limit in ((recent.filter(username=_key(name)), PER_NAME), (recent, PER_ADDRESS)):
        moments = list(failures.values_list("at", flat=True)[:limit])
        if len(moments) == limit:
            wait = moments[-1] + WINDOW - timezone.now()
            raise UserError(
                "login.too_many_attempts",
                "There were too many failed attempts to log in; try again in {minutes} min.",
                status=429,
                minutes=max(1, math.ceil(wait.total_seconds() / 60)),
            )


def note_failure(name: str, address: str) -> None:
    FailedLogIn.objects.filter(at__lt=timezone.now() - WINDOW).delete()
    FailedLogIn.objects.create(username=_key(name), address=address[:45])


def forget_failures(name: str, address: str) -> None:
    FailedLogIn.objects.filter(username=_key(name), address=address[:45]).delete()


def _key(name: str) -> str:
    return name.casefold()[:150]
