"""The ground floor: paging, charts, storage, errors, events, the policy of every page."""

import asyncio
import threading
from pathlib import Path
from typing import Any

import pytest
from django.test import Client

from tests.websocket import WebSocket
from webapp.accounts.models import AuditEntry, User, Workspace
from webapp.core import charts, events, paging, processes, storage
from webapp.core.consumers import EventsConsumer
from webapp.core.errors import UserError
from webapp.core.events import publish_async


def test_pages_follow_each_other_without_gap_or_overlap(workspace: Workspace, alice: User) -> None:
    for number in range(25):
        AuditEntry.objects.create(workspace=workspace, actor=alice, action="x", subject=str(number))
    seen, cursor = [], None
    while True:
        page = paging.paginate(AuditEntry.objects.filter(action="x"), cursor=cursor, limit=10)
        seen += [entry.subject for entry in page.items]
        cursor = page.next_cursor
        if cursor is None:
            break
    assert seen == [str(number) for number in reversed(range(25))]


def test_foreign_cursor_is_refused_with_a_sentence(db: None) -> None:
    with pytest.raises(UserError):
        paging.paginate(AuditEntry.objects.all(), cursor="%%%")


def test_downsampling_keeps_ends_and_peak() -> None:
    ys = [0.0] * 10_000
    ys[4321] = 100.0
    xs, kept = charts.largest_triangle(list(range(10_000)), ys)
    assert len(xs) == charts.MAXIMUM_POINTS
    assert (xs[0], xs[-1], max(kept)) == (0, 9999, 100.0)


def test_figure_is_valid_plotly_and_plain_json() -> None:
    import json

    figure = charts.figure([charts.line("loss", [1, 2, 3], [3.0, 2.0, 1.0])], x="step")
    assert json.loads(json.dumps(figure))["data"][0]["name"] == "loss"


@pytest.mark.parametrize("path", ["../secret", "/etc/passwd", "a/../../b"])
def test_path_that_leaves_its_folder_is_refused(tmp_path: Path, path: str) -> None:
    with pytest.raises(UserError):
        storage.inside(tmp_path, path)


def test_link_that_leaves_its_folder_is_refused(tmp_path: Path) -> None:
    (tmp_path / "root").mkdir()
    (tmp_path / "root" / "link").symlink_to("/etc")
    with pytest.raises(UserError):
        storage.inside(tmp_path / "root", "link/passwd")


def test_full_disk_is_told_before_work_starts(settings: Any) -> None:
    settings.MINIMUM_FREE_MB = 10**9
    with pytest.raises(UserError) as caught:
        storage.require_space()
    assert (caught.value.code, caught.value.status) == ("storage.disk_full", 507)


def test_failed_write_leaves_the_old_file(tmp_path: Path) -> None:
    path = tmp_path / "files" / "file"
    storage.write_atomically(path, [b"old"])

    def broken() -> Any:
        yield b"half"
        raise OSError("gone")

    with pytest.raises(OSError, match="gone"):
        storage.write_atomically(path, broken())
    assert path.read_bytes() == b"old"
    assert [item.name for item in path.parent.iterdir()] == ["file"]


def test_pages_allow_scripts_only_from_our_files(alice_client: Client, workspace: Workspace) -> None:
    policy = alice_client.get(f"/w/{workspace.slug}/").headers["Content-Security-Policy"]
    assert "script-src 'self'" in policy
    assert "unsafe-inline" not in policy


def test_error_page_and_error_json_say_the_same(alice_client: Client) -> None:
    page = alice_client.get("/w/nowhere/")
    assert page.status_code == 404
    assert "There is nothing here" in page.content.decode()
    answer = alice_client.get("/api/v1/workspaces/nowhere")
    assert answer.json()["error"] == {
        "code": "not_found",
        "message": "There is nothing here, or you may not see it.",
        "details": {},
    }


def test_invalid_body_names_the_field(alice_client: Client) -> None:
    answer = alice_client.post("/api/v1/workspaces", {"name": ""}, "application/json")
    assert answer.status_code == 422
    assert "name" in answer.json()["error"]["message"]


def test_own_process_is_not_gone_and_a_dead_one_is() -> None:
    assert not processes.owner_is_gone(processes.identity())
    assert processes.owner_is_gone(f"{processes.host()}:999999:123.0")
    assert not processes.owner_is_gone("elsewhere:1:1.0")


@pytest.mark.django_db(transaction=True)
async def test_member_hears_of_the_workspace_and_stranger_does_not(workspace: Workspace, alice: User, charlie: User) -> None:
    heard = {}
    for user in (alice, charlie):
        socket = WebSocket(EventsConsumer.as_asgi(), "/ws/events/", user=user)
        assert await socket.connect()
        await socket.send({"type": "subscribe", "topic": f"workspace.{workspace.pk}"})
        answer = await socket.receive()
        await publish_async(f"workspace.{workspace.pk}", job=1)
        heard[user.username] = (list(answer), not await socket.hears_nothing())
        await socket.close()
    assert heard == {"alice": (["subscribed"], True), "charlie": (["refused"], False)}


@pytest.mark.django_db(transaction=True)
def test_threads_of_a_worker_publish_from_one_loop(monkeypatch: pytest.MonkeyPatch) -> None:
    """A loop and a connection for each event would cost a hundred times the event."""
    loops, topics = set(), []

    async def note(topic: str, **payload: Any) -> None:
        loops.add(asyncio.get_running_loop())
        topics.append((topic, payload))

    publisher = events.Publisher()
    monkeypatch.setattr(events, "publish_async", note)
    monkeypatch.setattr(publisher, "is_wanted", True)
    monkeypatch.setattr(events, "publisher", publisher)
    threads = [threading.Thread(target=events.publish, args=(f"job.{number}",), kwargs={"n": number}) for number in range(5)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(topics) == [(f"job.{number}", {"n": number}) for number in range(5)]
    assert len(loops) == 1
    loop = publisher.loop()
    loop.call_soon_threadsafe(loop.stop)


async def test_nobody_listens_without_logging_in() -> None:
    from django.contrib.auth.models import AnonymousUser

    socket = WebSocket(EventsConsumer.as_asgi(), "/ws/events/", user=AnonymousUser())
    await socket.connect()
    assert await socket.receive() is None
    assert socket.close_code == 4401
