"""Giving way: work in the background must leave the cores to whoever serves people.

On Linux a nice value alone counts only among the processes of one session where the kernel groups tasks by session
(`sched_autogroup`), and each of our programs has a session of its own; the group is given the same value then.
"""

import os
import time
from pathlib import Path

AUTOGROUP = Path("/proc/self/autogroup")
TRIES = 5
PAUSE_SECONDS = 0.1
"""The kernel takes one change in so much time, of all processes together."""


def give_way(niceness: int) -> None:
    """Lower the priority of this process by `niceness`, and that of its session when the session is its own."""
    if not niceness:
        return
    value = os.nice(niceness)
    if os.getsid(0) == os.getpid():
        _give_way_as_a_session(value)


def _give_way_as_a_session(value: int) -> None:
    for _ in range(TRIES):
        try:
            AUTOGROUP.write_text(str(value))
        except BlockingIOError:
            time.sleep(PAUSE_SECONDS)
        except OSError:  # no Linux, or a kernel without such groups
            return
        else:
            return
