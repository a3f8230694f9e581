"""A child program in its own process group: started with an allow-listed environment, its output in a file, ended as a group."""

import contextlib
import os
import signal
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path

PASSED_ON = {
    "PATH", "HOME", "USER", "LANG", "LC_ALL", "LC_CTYPE", "TZ", "TMPDIR", "LD_LIBRARY_PATH", "VIRTUAL_ENV",
    "CUDA_VISIBLE_DEVICES", "CUDA_HOME", "HF_HOME", "HF_ENDPOINT", "HF_HUB_OFFLINE", "MODELSCOPE_ENDPOINT",
    "HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY", "http_proxy", "https_proxy", "no_proxy", "SSL_CERT_FILE", "REQUESTS_CA_BUNDLE",
}  # fmt: skip
"""Never the secret key, the database or the broker."""
NICE = "5"


def environment(threads: int, extra: Mapping[str, str]) -> dict[str, str]:
    """What a program may know. Compute threads wait passively: spinning on shared cores starves the web."""
    passed = {name: value for name, value in os.environ.items() if name in PASSED_ON}
    return {
        **passed,
        "OMP_NUM_THREADS": str(threads),
        "OMP_WAIT_POLICY": "PASSIVE",
        "MKL_NUM_THREADS": str(threads),
        "TOKENIZERS_PARALLELISM": "false",
        "PYTHONUNBUFFERED": "1",
        "HF_HUB_DISABLE_TELEMETRY": "1",
        "SHUYUAN_PARENT": str(os.getpid()),
        "SHUYUAN_NICE": NICE,
        **extra,
    }


class Child:
    """One running program and all that it starts."""

    def __init__(self, process: "subprocess.Popen[bytes]") -> None:
        self.process = process
        self.pid = process.pid

    @classmethod
    def start(
        cls, command: Sequence[str], *, log: Path, directory: Path, threads: int, extra: Mapping[str, str] | None = None
    ) -> "Child":
        """Start `command` (an argv list, never a shell line); what it prints is appended to `log`."""
        with log.open("ab") as output:
            process = subprocess.Popen(
                list(command),
                cwd=directory,
                env=environment(threads, extra or {}),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                close_fds=True,
            )
        return cls(process)

    def poll(self) -> int | None:
        """The exit code (negative: the signal that ended it), or None while it runs."""
        return self.process.poll()

    def signal(self, number: int) -> None:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.pid, number)

    def kill(self) -> None:
        """End the whole group for good and reap the child. Harmless when it has ended."""
        self.signal(signal.SIGKILL)
        self.process.wait()
