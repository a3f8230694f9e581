"""Background work gives way to whoever serves people, and only that work (N4)."""

import os
import re
import subprocess
import sys

import pytest

from workers.politeness import AUTOGROUP, give_way

SHOW = "import os; print(os.getpriority(os.PRIO_PROCESS, 0)); print(open('/proc/self/autogroup').read())"
POLITE = f"from workers.politeness import give_way; give_way(3); {SHOW}"
grouped = pytest.mark.skipif(not AUTOGROUP.exists(), reason="this kernel does not group tasks by session")


IN_A_SESSION = "import subprocess, sys; sys.exit(subprocess.call([sys.executable, '-c', sys.argv[1]]))"


def shown(code: str, *, own_session: bool) -> tuple[int, int]:
    """The nice values of a program and of its group, seen from the program.

    The session of others is one that we open: the first session of a machine has a group without a nice value.
    """
    program = [code] if own_session else [IN_A_SESSION, code]
    told = subprocess.run(
        [sys.executable, "-c", *program], start_new_session=True, capture_output=True, text=True, check=True, timeout=60
    ).stdout
    nice, group = told.splitlines()[:2]
    found = re.search(r"nice (-?\d+)", group)
    assert found
    return int(nice), int(found[1])


@grouped
def test_program_with_a_session_of_its_own_lowers_its_group() -> None:
    ours = os.getpriority(os.PRIO_PROCESS, 0)
    assert shown(POLITE, own_session=True) == (min(ours + 3, 19), min(ours + 3, 19))


@grouped
def test_program_in_the_session_of_others_lowers_itself_alone() -> None:
    ours = os.getpriority(os.PRIO_PROCESS, 0)
    _, before = shown(SHOW, own_session=False)
    assert shown(POLITE, own_session=False) == (min(ours + 3, 19), before)


def test_kernel_without_groups_and_one_that_is_busy_are_no_reason_to_fail(monkeypatch: pytest.MonkeyPatch) -> None:
    class Busy:
        tries = 0

        def write_text(self, value: str) -> None:
            self.tries += 1
            raise BlockingIOError if self.tries < 3 else FileNotFoundError

    monkeypatch.setattr("workers.politeness.AUTOGROUP", busy := Busy())
    monkeypatch.setattr("workers.politeness.PAUSE_SECONDS", 0)
    monkeypatch.setattr(os, "nice", lambda by: by)
    monkeypatch.setattr(os, "getsid", lambda pid: os.getpid())
    give_way(5)
    assert busy.tries == 3
