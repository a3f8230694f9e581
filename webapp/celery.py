"""The Celery application. The web sends tasks by name; only a worker imports `workers.tasks`."""

import os

from celery import Celery

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "webapp.settings")

app = Celery("shuyuan")


def _configure() -> None:
    from django.conf import settings

    app.conf.update(settings.CELERY)


_configure()
