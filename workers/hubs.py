"""Files of repositories on Hugging Face and ModelScope: listed and downloaded over HTTP, without their libraries.

HF_ENDPOINT and MODELSCOPE_ENDPOINT name other addresses (mirrors). What an earlier attempt fetched is kept and gone on from.
"""

import hashlib
import os
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any, Literal

import httpx

from workers.spec.data import HubName
from workers.spec.errors import UserError

Kind = Literal["models", "datasets"]
ADDRESSES = {
    "huggingface": ("HF_ENDPOINT", "https://huggingface.co"),
    "modelscope": ("MODELSCOPE_ENDPOINT", "https://www.modelscope.cn"),
}
FIRST_VERSION = {"huggingface": "main", "modelscope": "master"}
NAME = re.compile(r"[A-Za-z0-9_][\w.-]{0,95}/[A-Za-z0-9_][\w.-]{0,95}")
PAGE = 200
MOST_FILES = 20_000
TIMEOUT = httpx.Timeout(30.0)


@dataclass(frozen=True)
class HubFile:
    path: str
    size: int
    sha256: str = ""


@dataclass(frozen=True)
class Repository:
    """One version of a repository. `revision` empty: the hub's first branch."""

    hub: HubName
    kind: Kind
    id: str
    revision: str = ""

    def __post_init__(self) -> None:
        if not NAME.fullmatch(self.id) or ".." in self.id:
            raise UserError("hub.bad_name", "“{id}” is no name on a hub; write it as owner/name.", id=self.id[:200])

    @property
    def address(self) -> str:
        variable, usual = ADDRESSES[self.hub]
        return (os.environ.get(variable) or usual).rstrip("/")

    @property
    def version(self) -> str:
        other = {FIRST_VERSION[hub] for hub in FIRST_VERSION if hub != self.hub}
        return FIRST_VERSION[self.hub] if self.revision in {"", *other} else self.revision

    def files(self) -> list[HubFile]:
        """Every file of this version; UserError when the hub says no."""
        with self._told(), httpx.Client(timeout=TIMEOUT, follow_redirects=True) as client:
            return self._hugging_face(client) if self.hub == "huggingface" else list(self._modelscope(client))

    def _hugging_face(self, client: httpx.Client) -> list[HubFile]:
        answer = client.get(f"{self.address}/api/{self.kind}/{self.id}/revision/{self.version}", params={"blobs": "true"})
        listed = self._json(answer).get("siblings") or []
        found = []
        for item in listed[:MOST_FILES]:
            digest = (item.get("lfs") or {}).get("sha256") or ""
            found.append(HubFile(str(item["rfilename"]), int(item.get("size") or 0), str(digest)))
        return found

    def _modelscope(self, client: httpx.Client) -> Iterator[HubFile]:
        part = "files" if self.kind == "models" else "tree"
        seen: set[str] = set()
        for number in range(1, MOST_FILES // PAGE + 1):
            asked = {"Revision": self.version, "Recursive": "true", "PageNumber": str(number), "PageSize": str(PAGE)}
            answer = client.get(f"{self.address}/api/v1/{self.kind}/{self.id}/repo/{part}", params=asked)
            listed = (self._json(answer).get("Data") or {}).get("Files") or []
            new = [item for item in listed if str(item["Path"]) not in seen]
            for item in new:
                seen.add(str(item["Path"]))
                if item.get("Type") != "tree":
                    yield HubFile(str(item["Path"]), int(item.get("Size") or 0), str(item.get("Sha256") or ""))
            if len(listed) < PAGE or not new:  # a hub that does not page sends the same files again
                return

    def _json(self, answer: httpx.Response) -> dict[str, Any]:
        answer.raise_for_status()
        found = answer.json()
        if not isinstance(found, dict):
            raise TypeError("a list of files is expected")
        if found.get("Code", 200) != 200:
            raise self._missing()
        return found

    def download(self, file: HubFile, target: Path, check_stop: Callable[[], None], arrived: Callable[[int], None]) -> None:
        """Fetch one file; `arrived(bytes)` is told what came. It appears under its name when it is whole."""
        if target.is_file():
            arrived(target.stat().st_size)
            return
        part = target.with_name(f"{target.name}.part")
        target.parent.mkdir(parents=True, exist_ok=True)
        done = part.stat().st_size if part.is_file() else 0
        headers = {"Range": f"bytes={done}-"} if done else {}
        with (
            self._told(),
            httpx.Client(timeout=TIMEOUT, follow_redirects=True) as client,
            client.stream("GET", self._place(file), params=self._asked(file), headers=headers) as answer,
        ):
            if answer.status_code == httpx.codes.REQUESTED_RANGE_NOT_SATISFIABLE:
                part.unlink()
            answer.raise_for_status()
            goes_on = answer.status_code == httpx.codes.PARTIAL_CONTENT
            arrived(done if goes_on else 0)
            with part.open("ab" if goes_on else "wb") as writer:
                for block in answer.iter_bytes(1 << 20):
                    check_stop()
                    writer.write(block)
                    arrived(len(block))
                writer.flush()
                os.fsync(writer.fileno())
        self._check(file, part)
        part.replace(target)

    def _check(self, file: HubFile, part: Path) -> None:
        size = part.stat().st_size
        damaged = bool(file.size) and size != file.size
        if not damaged and re.fullmatch("[0-9a-f]{64}", file.sha256):
            with part.open("rb") as reader:
                damaged = hashlib.file_digest(reader, "sha256").hexdigest() != file.sha256
        if damaged:
            part.unlink()
            raise UserError(
                "hub.damaged",
                "{file} did not arrive from {hub} as it lies there ({size} of {expected} bytes); press Retry.",
                file=file.path,
                hub=self.address,
                size=size,
                expected=file.size,
            )

    def _place(self, file: HubFile) -> str:
        if self.hub == "modelscope":
            return f"{self.address}/api/v1/{self.kind}/{self.id}/repo"
        start = "datasets/" if self.kind == "datasets" else ""
        return f"{self.address}/{start}{self.id}/resolve/{self.version}/{file.path}"

    def _asked(self, file: HubFile) -> dict[str, str]:
        return {"Revision": self.version, "FilePath": file.path} if self.hub == "modelscope" else {}

    def _missing(self) -> UserError:
        return UserError(
            "hub.no_repository",
            "{hub} has no public repository “{id}” with the version “{revision}”; check both.",
            hub=self.address,
            id=self.id,
            revision=self.version,
        )

    @contextmanager
    def _told(self) -> Iterator[None]:
        facts: dict[str, Any] = {"hub": self.address, "id": self.id}
        try:
            yield
        except httpx.HTTPStatusError as error:
            status = error.response.status_code
            if status == httpx.codes.NOT_FOUND:
                raise self._missing() from error
            if status in {httpx.codes.UNAUTHORIZED, httpx.codes.FORBIDDEN}:
                raise UserError(
                    "hub.closed",
                    "{id} on {hub} may only be downloaded with its owner's consent; download it yourself and import the file "
                    "or folder.",
                    **facts,
                ) from error
            raise UserError(
                "hub.refused", "{hub} answered {answer} for {id}; try again later.", answer=status, **facts
            ) from error
        except (httpx.TransportError, httpx.TooManyRedirects, httpx.InvalidURL) as error:
            variable, _ = ADDRESSES[self.hub]
            raise UserError(
                "hub.away",
                "{hub} cannot be reached from this server; set {variable} to a mirror, or bring the files yourself.",
                variable=variable,
                **facts,
            ) from error
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise UserError(
                "hub.odd_answer",
                "{hub} answered something else than a list of files for {id}; check the address.",
                **facts,
            ) from error


def safe_path(path: str) -> bool:
    """Whether a path from a hub stays below the folder that it is put in."""
    parts = PurePosixPath(path).parts
    return (
        bool(parts)
        and not path.startswith("/")
        and path.isprintable()
        and ".." not in parts
        and "\\" not in path
        and "\0" not in path
    )
