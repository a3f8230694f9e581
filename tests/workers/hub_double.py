"""As much of Hugging Face and ModelScope as a download asks for, on this machine: lists, files, ranges, refusals."""

import hashlib
import json
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any
from urllib.parse import parse_qs, urlsplit

REPOSITORY = "academy/tiny"


class _Hub(BaseHTTPRequestHandler):
    folder: Path
    asked: list[str]

    def do_GET(self) -> None:
        url = urlsplit(self.path)
        query = {name: values[0] for name, values in parse_qs(url.query).items()}
        self.asked.append(f"{self.path} {self.headers.get('Range', '')}".strip())
        if not any(self._answered(kind, url.path, query) for kind in ("models", "datasets")):
            status = 401 if "/closed/" in url.path else 200 if "/odd/" in url.path else 404
            self._json([] if status == 200 else {"Code": 10010205001}, status)

    def _answered(self, kind: str, path: str, query: dict[str, str]) -> bool:
        """Whether the request was one for this kind of repository."""
        start = "" if kind == "models" else "datasets/"
        if path == f"/api/{kind}/{REPOSITORY}/revision/main":
            files = [{"rfilename": name, "size": len(content)} for name, content in self._files()]
            self._json({"id": REPOSITORY, "sha": "a" * 40, "siblings": files})
        elif path in (f"/api/v1/{kind}/{REPOSITORY}/repo/{part}" for part in ("files", "tree")):
            page, size = int(query["PageNumber"]), int(query["PageSize"])
            listed = [
                {"Path": name, "Type": "blob", "Size": len(content), "Sha256": hashlib.sha256(content).hexdigest()}
                for name, content in self._files()
            ]
            self._json({"Code": 200, "Data": {"Files": listed[(page - 1) * size : page * size]}})
        elif path == f"/api/v1/{kind}/{REPOSITORY}/repo" and query["Revision"] == "master":
            self._bytes(self.folder / query["FilePath"])
        elif path.startswith(f"/{start}{REPOSITORY}/resolve/main/"):
            self._bytes(self.folder / path.partition("/resolve/main/")[2])
        else:
            return False
        return True

    def _files(self) -> list[tuple[str, bytes]]:
        found = sorted(path for path in self.folder.rglob("*") if path.is_file())
        return [(path.relative_to(self.folder).as_posix(), path.read_bytes()) for path in found]

    def _json(self, body: Any, status: int = 200) -> None:
        self._send(json.dumps(body).encode(), status)

    def _bytes(self, path: Path) -> None:
        content, given = path.read_bytes(), self.headers.get("Range", "")
        if given:
            return self._send(content[int(given.removeprefix("bytes=").rstrip("-")) :], 206)
        return self._send(content, 200)

    def _send(self, content: bytes, status: int) -> None:
        self.send_response(status)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *_: Any) -> None:
        pass


@contextmanager
def hub_double(folder: Path) -> Iterator[tuple[str, list[str]]]:
    """(address, what was asked for) of a hub whose one repository holds the files of `folder`."""
    asked: list[str] = []
    server = ThreadingHTTPServer(("127.0.0.1", 0), type("OneHub", (_Hub,), {"folder": folder, "asked": asked}))
    thread = Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}", asked
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
