"""Stage `extraction`: HTML texts and files become plain text. Documents are read by a child process with limits."""

import contextlib
import json
import os
import re
import selectors
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from workers.data.processing.fields import points_into_text, with_facet
from workers.data.processing.html_text import has_tags, is_html
from workers.data.processing.outcome import Outcome, RecordStage
from workers.data.processing.screening import Screening
from workers.spec.processing import ExtractionStage

SECONDS = 30.0
_SHA256 = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True)
class MediaFiles:
    """The folder of files by digest, and which of them the version holds: a record may claim any digest."""

    folder: Path
    held: frozenset[str]

    def path(self, digest: str) -> Path | None:
        return self.folder / digest[:2] / digest if digest in self.held and _SHA256.fullmatch(digest) else None


class Reader:
    """The child that reads documents: started when first needed, replaced when one takes too long or kills it."""

    def __init__(self, seconds: float = SECONDS) -> None:
        self.seconds = seconds
        self._child: subprocess.Popen[bytes] | None = None

    def ask(self, **asked: Any) -> dict[str, Any]:
        """{"text", …counts} or {"error": code}; `too_slow` and `broken` stand for a child that had to be ended or died."""
        child = self._child or self._start()
        assert child.stdin
        try:
            child.stdin.write(json.dumps(asked).encode() + b"\n")
            child.stdin.flush()
            line = self._line(child)
        except BrokenPipeError:
            line = b""
        if line is None or not line.endswith(b"\n"):
            self.close()
            return {"error": "too_slow" if line is None else "broken"}
        found: dict[str, Any] = json.loads(line)
        return found

    def _start(self) -> "subprocess.Popen[bytes]":
        self._child = subprocess.Popen(
            [sys.executable, "-m", "workers.data.processing.reader_child"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env={**os.environ, "SHUYUAN_PARENT": str(os.getpid()), "SHUYUAN_NICE": ""},
        )
        return self._child

    def _line(self, child: "subprocess.Popen[bytes]") -> bytes | None:
        """The child's next line; None when it does not come in time, an incomplete one when the child died."""
        assert child.stdout
        pieces: list[bytes] = []
        end = time.monotonic() + self.seconds
        with selectors.DefaultSelector() as selector:
            selector.register(child.stdout, selectors.EVENT_READ)
            while not pieces or not pieces[-1].endswith(b"\n"):
                if not selector.select(max(0.0, end - time.monotonic())):
                    return None
                piece = os.read(child.stdout.fileno(), 1 << 20)
                if not piece:
                    break
                pieces.append(piece)
        return b"".join(pieces)

    def close(self) -> None:
        child, self._child = self._child, None
        if child is None:
            return
        child.kill()
        child.wait()
        for pipe in (child.stdin, child.stdout):
            with contextlib.suppress(OSError):
                if pipe:
                    pipe.close()


class Extraction(RecordStage):
    """Records whose text cannot be got and who have no other words are dropped with the reason."""

    def __init__(
        self, settings: ExtractionStage, media: MediaFiles | None, screening: Screening | None, seconds: float = SECONDS
    ):
        self.settings, self.media, self.screening = settings, media, screening
        self.reader = Reader(seconds)

    def process(self, record: dict[str, Any]) -> Outcome:
        text, made = record.get("text") or "", ""
        if self.settings.html != "never" and not points_into_text(record) and self._wanted(text):
            answer = self.reader.ask(html=text, main_text=self.settings.main_text)
            if "error" in answer or not answer["text"]:
                return Outcome(None, answer.get("error", "no_text"))
            if answer["text"] != text:
                record, made = {**record, "text": answer["text"]}, "html"
        if self.settings.files and not record.get("messages"):
            outcome = self._files(record)
            if outcome.record is None:
                return outcome
            record, made = outcome.record, outcome.reason or made
        if made and self.screening:
            judged = self.screening.judge(record)
            if judged.record is None:
                return judged
            record = judged.record
        return Outcome(record, made)

    def _wanted(self, text: str) -> bool:
        return bool(text) and (has_tags(text) if self.settings.html == "always" else is_html(text))

    def _files(self, record: dict[str, Any]) -> Outcome:
        """The words of the files follow those that the record has."""
        found, error = [], ""
        for item in record.get("media") or ():
            if item.get("kind") != "file":
                continue
            answer = self._read(item)
            if "text" in answer and answer["text"] not in (record.get("text") or ""):  # an import may have read it already
                found.append(answer["text"])
            error = error or answer.get("error", "")
        if not found:
            return Outcome(None, error) if error and not record.get("text") else Outcome(record)
        said = record.get("text") or ""
        text = "\n\n".join(part for part in (said, *found) if part and part not in {"<file>", "<document>"})
        source = (record.get("facets") or {}).get("source")
        name = next((item.get("name") for item in record["media"] if item.get("kind") == "file" and item.get("name")), None)
        record = {**record, "text": text}
        return Outcome(record if source or not name else with_facet(record, "source", name), "file")

    def _read(self, item: dict[str, Any]) -> dict[str, Any]:
        path = self.media.path(str(item.get("sha256") or "")) if self.media else None
        if path is None:
            return {"error": "missing"}
        return self.reader.ask(path=str(path), main_text=self.settings.main_text, maximum_pages=self.settings.maximum_pages)

    def close(self) -> None:
        self.reader.close()
