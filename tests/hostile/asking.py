"""What every test of bad input holds an answer to: one clear sentence with a stable code, in English and in Chinese."""

import json
import re
from functools import cache
from pathlib import Path
from typing import Any

from django.conf import settings
from django.test import Client

from webapp.core.catalogues import translated
from webapp.jobs.leases import ensure_slots
from webapp.jobs.models import Job
from webapp.jobs.running import run_next

CODE = re.compile(r"[a-z_]+(\.[a-z_0-9]+)*")
LONGEST = 700
CRASHES = {"job.crashed", "job.exit_code", "job.killed", "engine.crashed", "engine.did_not_start"}


@cache
def known_in_chinese() -> frozenset[str]:
    return frozenset(translated())


def assert_sentence(text: str) -> None:
    """Complete, of a readable length, one line, nothing left unfilled, and none of Python's own words."""
    assert text, "an empty message"
    assert text.rstrip("”»)\"'")[-1:] in set(".…。!！?？"), f"not a whole sentence: {text!r}"
    assert len(text) <= LONGEST, f"{len(text)} characters: {text[:200]!r}…"
    assert "\n" not in text, text
    for word in ("Traceback", "Exception", 'File "', "Error:", "{reason}", "{detail}", "{file}", "{name}"):
        assert word not in text, text
    assert text.encode(), "half a character"


def assert_both(english: str, chinese: str, template: str) -> None:
    """Two good sentences; they differ where a catalogue has the template."""
    assert_sentence(english)
    assert_sentence(chinese)
    if template in known_in_chinese():
        assert chinese != english, f"no Chinese although the catalogue has {template!r}"


def call(client: Client, method: str, url: str, body: Any = None, *, language: str = "en", **headers: str) -> Any:
    """One request; `body` is sent as JSON, bytes as they are."""
    content = body if isinstance(body, bytes) else json.dumps({} if body is None else body)
    given = {"Accept-Language": language, "Accept": "application/json", **headers}
    return client.generic(method, url, content, "application/json", headers=given)


def assert_refused(
    client: Client, method: str, url: str, body: Any, code: str, *, status: int | None = None, template: str = ""
) -> dict[str, Any]:
    """The request is refused with this code in both languages; returns the English error object."""
    answers = [call(client, method, url, body, language=language) for language in ("en", "zh-hans")]
    errors = [answer.json()["error"] for answer in answers]
    for answer, error in zip(answers, errors, strict=True):
        assert 400 <= answer.status_code < 500 or answer.status_code == 507, (answer.status_code, error)
        assert status is None or answer.status_code == status, (answer.status_code, error)
        assert error["code"] == code, error
        assert CODE.fullmatch(error["code"])
    assert_both(errors[0]["message"], errors[1]["message"], template)
    found: dict[str, Any] = errors[0]
    return found


def assert_job_failed(client: Client, job: Job, code: str) -> str:
    """The job failed with this code; API and page say so in both languages. Returns the English sentence."""
    job.refresh_from_db()
    assert (job.state, job.error_code) == ("failed", code), (job.state, job.error_code, job.error_template, job.error_params)
    messages = [
        call(client, "GET", f"/api/v1/jobs/{job.pk}", language=language).json()["error"]["message"]
        for language in ("en", "zh-hans")
    ]
    assert_both(*messages, job.error_template)
    page = client.get(f"/w/{job.workspace.slug}/jobs/{job.pk}/", headers={"Accept-Language": "en"})
    assert page.status_code == 200
    return str(messages[0])


def run_one() -> None:
    """The next job, as a worker runs it: its real program in a child process."""
    ensure_slots()
    assert run_next("light") or run_next("cpu"), "no job is waiting"


def leftovers(*allowed: str) -> list[str]:
    """Files in the data folder outside runs/ and the allowed folders; caches of the test database are not counted."""
    root = Path(settings.DATA_DIR)
    return sorted(
        str(path.relative_to(root))
        for path in root.rglob("*")
        if path.is_file() and path.relative_to(root).parts[0] not in {"runs", *allowed}
    )
