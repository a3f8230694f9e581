"""`python -m workers.data.index.child folder`: makes the index of the canonical lines that come on its standard input.

A process of its own, so that an import reads on while the other core indexes; without numpy in the process that reads.
"""

import contextlib
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import BinaryIO

from workers.data.index.facts import record_language, record_words
from workers.data.records import slim_digest

_BUFFER = 1 << 18


class IndexChild:
    """`add` every line in order, then `finish`. A child that dies leaves no index: whoever needs one makes it again."""

    def __init__(self, folder: Path) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "workers.data.index.child", str(folder)],
            stdin=subprocess.PIPE,
            bufsize=_BUFFER,
            env={**os.environ, "SHUYUAN_PARENT": str(os.getpid()), "SHUYUAN_NICE": ""},
        )
        self._lives = True

    def add(self, line: bytes) -> None:
        if self._lives:
            assert self._process.stdin
            try:
                self._process.stdin.write(line)
            except BrokenPipeError:
                self._lives = False

    def finish(self) -> None:
        """Wait until the index lies in its folder."""
        assert self._process.stdin
        try:
            self._process.stdin.close()
        except BrokenPipeError:
            self._lives = False
        self._process.wait()

    def discard(self) -> None:
        """End the child, whatever it does. Harmless when it has ended."""
        self._process.kill()
        self._process.wait()
        if self._process.stdin and not self._process.stdin.closed:
            with contextlib.suppress(BrokenPipeError):
                self._process.stdin.close()


def index_lines(lines: BinaryIO, folder: Path) -> None:
    from workers.data.index.builder import IndexBuilder

    builder = IndexBuilder(folder)
    try:
        for line in lines:
            data = json.loads(line)
            words = record_words(data)
            builder.add(data, len(line), slim_digest(data), words, record_language(data, words))
        builder.finish()
    finally:
        builder.discard()


if __name__ == "__main__":
    from workers.program import die_with_parent

    die_with_parent()
    index_lines(sys.stdin.buffer, Path(sys.argv[1]))
