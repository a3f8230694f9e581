"""`python -m workers.data.processing.reader_child`: reads documents for the pipeline, one JSON line in, one out.

It lives in a process of its own because documents are strangers: its memory is limited here, its time by its parent,
which kills it and goes on with the next document.
"""

import json
import resource
import sys
from pathlib import Path
from typing import Any

from workers.data.processing.documents import MAX_TEXT, Unreadable, read_document
from workers.data.processing.html_text import html_to_text
from workers.program import die_with_parent

MEMORY = 2 << 30


def answer(asked: dict[str, Any]) -> dict[str, Any]:
    """{"text", …counts of a file's parts} or {"error": code}."""
    try:
        if "html" in asked:
            return {"text": html_to_text(asked["html"], main_text=asked["main_text"])[:MAX_TEXT]}
        path = Path(asked["path"])
        found = read_document(path, main_text=asked["main_text"], maximum_pages=asked["maximum_pages"])
        counts = {"pages": found.pages, "chapters": found.chapters, "paragraphs": found.paragraphs}
        return {"text": found.text, **{name: count for name, count in counts.items() if count is not None}}
    except Unreadable as error:
        return {"error": str(error)}
    except MemoryError:
        return {"error": "too_large"}
    except FileNotFoundError:
        return {"error": "missing"}
    except Exception as error:  # noqa: BLE001  (the process boundary: one document must not end the others)
        print(f"{type(error).__name__}: {error}"[:300], file=sys.stderr, flush=True)
        return {"error": "broken"}


def main() -> None:
    die_with_parent()
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
    for line in sys.stdin.buffer:
        sys.stdout.buffer.write(json.dumps(answer(json.loads(line))).encode() + b"\n")
        sys.stdout.buffer.flush()


if __name__ == "__main__":
    main()
