"""`manage.py loginlink USER`: print a fresh one-time log-in link."""

from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from webapp.accounts.models import User
from webapp.accounts.services import create_login_link
from webapp.core import embedded


class Command(BaseCommand):
    help = "Print a one-time log-in link of a user; links made before stop working."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("user")

    def handle(self, *args: Any, **options: Any) -> None:
        user = User.objects.filter(username=options["user"], is_active=True).first()
        if user is None:
            raise CommandError(f"There is no user “{options['user']}”.")
        self.stdout.write(f"{embedded.base_url()}/login/{create_login_link(user=user)}/")
