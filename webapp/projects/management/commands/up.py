"""`manage.py up`: run all of Shuyuan on this machine: migrate, make the first admin, start Redis, web and worker."""

import os
import sys
from argparse import ArgumentParser
from typing import Any

from django.conf import settings
from django.core.management import call_command
from django.core.management.base import BaseCommand
from django.db import connection
from django.db.migrations.executor import MigrationExecutor

from webapp.accounts.services import create_login_link, ensure_admin
from webapp.core import embedded, storage
from webapp.projects import demo


class Command(BaseCommand):
    help = "Run everything on this machine."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--no-demo", action="store_true", help="do not prepare the demo workspace at the first start")

    def handle(self, *args: Any, **options: Any) -> None:
        storage.folder()
        lock = embedded.lock_data_folder()
        embedded.require_free_port()
        self.migrate()
        admin, _created = ensure_admin()
        wants_demo = settings.DEMO and not options["no_demo"] and not demo.is_prepared()
        link = f"{embedded.base_url()}/login/{create_login_link(user=admin)}/"
        banner = (
            f"\n  Shuyuan 书院 is ready.  Log in once with this link:\n\n    {link}\n\n"
            f"  Data: {settings.DATA_DIR}   Stop: Ctrl+C\n"
        )
        plan = embedded.write_plan(banner=banner, first_start=["prepare_demo"] if wants_demo else [])
        connection.close()
        sys.stdout.flush()
        os.set_inheritable(lock.fileno(), True)
        os.chdir(settings.BASE_DIR)
        os.execv(sys.executable, [sys.executable, "-m", "webapp.core.supervisor", str(plan)])  # noqa: S606

    def migrate(self) -> None:
        executor = MigrationExecutor(connection)
        if executor.migration_plan(executor.loader.graph.leaf_nodes()):
            self.stdout.write("Preparing the database …")
            call_command("migrate", verbosity=0, interactive=False)
