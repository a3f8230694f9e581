"""The keeper: one thread per duty of this host, for as long as the worker lives."""

import logging
import threading

from django.db import close_old_connections

from webapp.core.duties import Duty, all_duties

logger = logging.getLogger(__name__)


class Keeper:
    def __init__(self) -> None:
        self._end = threading.Event()
        self._threads: list[threading.Thread] = []

    def start(self) -> None:
        for duty in all_duties():
            thread = threading.Thread(target=self._keep, args=(duty,), daemon=True, name=f"duty-{duty.name}")
            self._threads.append(thread)
            thread.start()

    def stop(self) -> None:
        self._end.set()

    def _keep(self, duty: Duty) -> None:
        while True:
            try:
                duty.run()
            except Exception:
                logger.exception("duty %s failed", duty.name)
            close_old_connections()
            if self._end.wait(duty.every_seconds):
                return
