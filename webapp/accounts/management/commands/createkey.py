"""`manage.py createkey USER --scopes read,write`: print an API key, once."""

from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from webapp.accounts.models import User, Workspace
from webapp.accounts.services import SCOPES, create_key
from webapp.core.errors import UserError


class Command(BaseCommand):
    help = "Print a new API key of a user."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("user")
        parser.add_argument("--scopes", nargs="+", default=["all"], help=f"some of {', '.join(SCOPES)}, or all")
        parser.add_argument("--workspace", help="slug; without it the key reaches every workspace of the user")
        parser.add_argument("--name", default="createkey")

    def handle(self, *args: Any, **options: Any) -> None:
        user = User.objects.filter(username=options["user"]).first()
        if user is None:
            raise CommandError(f"There is no user “{options['user']}”.")
        workspace = None
        if options["workspace"]:
            workspace = Workspace.objects.filter(slug=options["workspace"]).first()
            if workspace is None:
                raise CommandError(f"There is no workspace “{options['workspace']}”.")
        scopes = [scope for word in options["scopes"] for scope in word.split(",") if scope]
        try:
            _key, text = create_key(user=user, name=options["name"], scopes=scopes, workspace=workspace)
        except UserError as error:
            raise CommandError(error.message) from error
        self.stdout.write(text)
