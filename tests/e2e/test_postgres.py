"""Production's database: the tests of the web, again, on a real PostgreSQL server of their own."""

import os
import pwd
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from tests import parts
from tests.product import ROOT, free_port, wait_for

pytestmark = [pytest.mark.postgres, pytest.mark.xdist_group("postgres")]


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    """The URL of a fresh server on loopback; it refuses to run as root, so then it runs as the user postgres."""
    tools = parts.postgres_folder()
    with tempfile.TemporaryDirectory(prefix="shuyuan-pg-") as name:
        folder = Path(name)
        owner = pwd.getpwnam("postgres") if os.getuid() == 0 else None
        if owner:
            os.chown(folder, owner.pw_uid, owner.pw_gid)
        who = {"user": owner.pw_uid, "group": owner.pw_gid, "extra_groups": []} if owner else {}
        cluster, port = folder / "cluster", free_port()
        subprocess.run(
            [tools / "initdb", "-D", cluster, "-U", "tester", "--auth", "trust", "-E", "UTF8"],
            check=True,
            capture_output=True,
            **who,
        )
        settings = ["-c", "fsync=off", "-c", "listen_addresses=127.0.0.1", "-c", f"unix_socket_directories={folder}"]
        process = subprocess.Popen(
            [tools / "postgres", "-D", cluster, "-p", str(port), *settings], stderr=subprocess.DEVNULL, **who
        )
        url = f"postgres://tester@127.0.0.1:{port}/postgres"
        wait_for(lambda: answers(url), seconds=120, what="PostgreSQL")
        yield url
        process.terminate()
        process.wait(30)


def answers(url: str) -> bool:
    try:
        psycopg.connect(url, connect_timeout=1).close()
    except psycopg.OperationalError:
        return False
    return True


def test_web_tests_pass_on_postgresql(server: str) -> None:
    environment = {**os.environ, "DATABASE_URL": server, "PYTHONDONTWRITEBYTECODE": "1"}
    for name in [name for name in environment if name.startswith("PYTEST_")]:
        del environment[name]
    command = [sys.executable, "-m", "pytest", "tests/webapp", "-q", "-x", "-p", "no:cacheprovider", "-m", "not slow"]
    answer = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=580, check=False)
    assert answer.returncode == 0, answer.stdout[-6000:] + answer.stderr[-2000:]
