"""The only Celery module: tasks are a few lines around a service, and a worker keeps the duties while it lives."""

from typing import Any

from celery.signals import worker_ready, worker_shutting_down

from webapp.celery import app
from webapp.core.events import publisher
from webapp.jobs import running
from workers.keeper import Keeper

keeper = Keeper()


@app.task(name="jobs.run")
def run_job(resource: str) -> None:
    """There may be work for this resource class: take the next job, if any."""
    running.run_next(resource)


@app.task(name="chat.run_turn")
def run_turn(turn_id: int) -> None:
    """Answer one turn of a conversation."""
    from webapp.chat.answering import answer

    answer(turn_id)


@worker_ready.connect
def start_duties(**_: Any) -> None:
    publisher.is_wanted = True
    keeper.start()


@worker_shutting_down.connect
def hand_back(**_: Any) -> None:
    """The worker was told to end: programs save and their jobs go back to the queue."""
    running.shutting_down.set()
    keeper.stop()
