"""`manage.py prepare_demo`: fill the demo workspace. Repeatable: what is there is left alone."""

from typing import Any

from django.core.management.base import BaseCommand

from webapp.projects import demo


class Command(BaseCommand):
    help = "Prepare the demo workspace."

    def handle(self, *args: Any, **options: Any) -> None:
        demo.prepare()
        self.stdout.write("the demo workspace is prepared")
