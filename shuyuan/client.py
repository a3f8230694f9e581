"""The client: one method for each step of the work; everything else of the API is reached by `get` and `post`."""

import json
import time
from collections.abc import Iterable, Iterator
from itertools import islice
from pathlib import Path
from typing import Any

import httpx

PART_BYTES = 8 << 20
PREDICTIONS_AT_ONCE = 1000
ENDED = frozenset({"done", "failed", "cancelled"})


class ApiError(Exception):
    """What the server refused: one sentence, with its stable code and the HTTP status."""

    def __init__(self, status: int, code: str, message: str) -> None:
        super().__init__(message)
        self.status = status
        self.code = code


class Client:
    """`workspace` is the name in its addresses: `/w/<workspace>/…`."""

    def __init__(
        self, url: str, *, key: str, workspace: str, timeout: float = 60.0, transport: httpx.BaseTransport | None = None
    ) -> None:
        headers = {"Authorization": f"Bearer {key}"}
        self.workspace = workspace
        self._client = httpx.Client(base_url=f"{url.rstrip('/')}/api/v1", headers=headers, timeout=timeout, transport=transport)

    def __enter__(self) -> "Client":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        self._client.close()

    def get(self, path: str, **query: Any) -> Any:
        return self._call("GET", path, params=query)

    def post(self, path: str, body: Any = None) -> Any:
        return self._call("POST", path, json={} if body is None else body)

    def _call(self, method: str, path: str, **options: Any) -> Any:
        response = self._client.request(method, path, **options)
        if response.status_code >= httpx.codes.BAD_REQUEST:
            raise _refusal(response)
        return response.json() if response.content else None

    def items(self, path: str, **query: Any) -> Iterator[dict[str, Any]]:
        """Every row of a list, page by page."""
        cursor = None
        while True:
            page = self.get(path, **query, **({"cursor": cursor} if cursor else {}))
            yield from page["items"]
            cursor = page["next_cursor"]
            if not cursor:
                return

    def upload(self, path: str | Path) -> int:
        """Send a file in parts; returns the upload's id."""
        path = Path(path)
        made = self.post(f"/workspaces/{self.workspace}/uploads", {"name": path.name, "size": path.stat().st_size})
        offset = 0
        with path.open("rb") as file:
            while part := file.read(PART_BYTES):
                content_type = {"Content-Type": "application/octet-stream"}
                self._call("PUT", f"/uploads/{made['id']}?offset={offset}", content=part, headers=content_type)
                offset += len(part)
        return int(made["id"])

    def import_file(self, path: str | Path, *, name: str, wait: float = 600.0) -> dict[str, Any]:
        """A new dataset from a file; its version once it is read. The format is recognised."""
        dataset = self.post(f"/workspaces/{self.workspace}/datasets", {"upload": self.upload(path), "name": name})
        version = self.get(f"/datasets/{dataset['id']}/versions")["items"][0]
        if version.get("job"):
            self.wait_job(version["job"], seconds=wait)
        return dict(self.get(f"/versions/{version['id']}"))

    def wait_job(self, job: int, *, seconds: float = 600.0) -> dict[str, Any]:
        """The job once it is done; ApiError when it failed, TimeoutError when it takes longer."""
        last = time.monotonic() + seconds
        while (found := self.get(f"/jobs/{job}"))["state"] not in ENDED:
            if time.monotonic() > last:
                raise TimeoutError(f"job {job} is still {found['state']} after {seconds:.0f} s")
            time.sleep(0.5)
        if found["state"] != "done":
            raise ApiError(409, "job.not_done", f"Job {job} ended as {found['state']}: {found.get('error') or ''}")
        return dict(found)

    def create_project(self, version: int, *, name: str, **options: Any) -> dict[str, Any]:
        """A label project. Options: `schema` or `preset` and `labels`, `overlap`, `instructions`, `limit`, `flow`."""
        return dict(self.post(f"/workspaces/{self.workspace}/label-projects", {"version": version, "name": name, **options}))

    def predict(self, project: int, *, model: str, predictions: Iterable[dict[str, Any]]) -> dict[str, Any]:
        """Bring in what a model proposes: {"key" or "task", "value": […], "score"}. Tells how many fit, and which did not."""
        stored, refused = 0, []
        rows = iter(predictions)
        while chunk := list(islice(rows, PREDICTIONS_AT_ONCE)):
            answer = self.post(f"/label-projects/{project}/predictions", {"model": model, "predictions": chunk})
            stored += answer["stored"]
            refused += answer["refused"]
        return {"stored": stored, "refused": refused}

    def prelabel(self, project: int, *, deployment: int, **options: Any) -> int:
        """Let a deployment propose answers; returns the job's id. Options: `limit`, `reorder`, `version`."""
        return int(self.post(f"/label-projects/{project}/prelabel", {"deployment": deployment, **options})["job"])

    def annotations(self, project: int) -> Iterator[dict[str, Any]]:
        """Every current annotation with its record, as it streams in."""
        with self._client.stream("GET", f"/label-projects/{project}/export") as response:
            if response.status_code >= httpx.codes.BAD_REQUEST:
                response.read()
                raise _refusal(response)
            for line in response.iter_lines():
                if line:
                    yield json.loads(line)

    def agreement(self, project: int) -> dict[str, Any]:
        return dict(self.get(f"/label-projects/{project}/agreement"))

    def make_version(self, project: int, *, name: str = "") -> dict[str, Any]:
        """The labelled records as a new dataset version."""
        return dict(self.post(f"/label-projects/{project}/versions", {"dataset_name": name}))


def _refusal(response: httpx.Response) -> ApiError:
    try:
        error = response.json()["error"]
        return ApiError(response.status_code, str(error["code"]), str(error["message"]))
    except (ValueError, KeyError, TypeError):
        return ApiError(response.status_code, "http", f"The server answered {response.status_code}.")
