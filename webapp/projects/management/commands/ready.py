"""`manage.py ready`: wait until web, Redis, a worker and every wanted deployment answer; code 1 when they do not in time."""

import time
from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from webapp.core import embedded
from webapp.core.supervisor import answers_on_url
from webapp.jobs import workers_alive
from webapp.serving.models import Deployment, Health, Wanted


class Command(BaseCommand):
    help = "Wait until everything answers."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--timeout", type=float, default=120.0)

    def handle(self, *args: Any, **options: Any) -> None:
        end = time.monotonic() + options["timeout"]
        while missing := what_is_missing():
            if time.monotonic() > end:
                raise CommandError(f"Not ready after {options['timeout']:.0f} s: {missing}.")
            time.sleep(0.2)
        self.stdout.write("ready")


def what_is_missing() -> str:
    """The first thing that does not answer yet; empty when all does."""
    if not answers_on_url(f"{embedded.base_url()}/healthz"):
        return f"the web at {embedded.base_url()}"
    if not workers_alive.any_alive():
        return "a worker (or Redis)"
    waiting = Deployment.objects.filter(wanted=Wanted.RUNNING, health=Health.STARTING).values_list("name", flat=True).first()
    return f"the deployment “{waiting}”" if waiting else ""
