"""Data at size, on the real product (embedded SQLite, web server and worker): figures of S6.7, S6.8 and of the data brief.

`python -m benchmarks.bench_datasets [rows …]`, default 100000. For each size: import of a JSON Lines file with labels and
facets (upload, job, rows and index until READY), pages of records (first and last), the dataset page, filters and full text
(hit, no hit, Chinese, one character), a bulk change that freezes the next version, the comparison of the two, the download
and its digest, and the memory of the web server. One JSON line per figure; requests are measured at the client.
"""

import hashlib
import json
import random
import statistics
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx

from tests.product import Api, Product

ROUNDS = 40
ENGLISH = (
    "why was my card declined at the shop today how long does a refund take when open change delivery address yearly fee "
    "transfer failed pay in cash please help with lost account bank money question answer model learns from data"
)
CHINESE = "我的银行卡为什么被拒了请问退货需要多长时间书院小店几点开门怎么修改收货地址信用卡年费是多少转账失败怎么办"
LABELS = ("card", "refund", "hours", "address", "fees", "transfer", "cash")


def write_rows(path: Path, count: int) -> None:
    """About 110 characters a text, one third of them Chinese."""
    draw, words = random.Random(7), ENGLISH.split()
    with path.open("w", encoding="utf-8") as file:
        for number in range(count):
            if number % 3:
                text = f"{number} " + " ".join(draw.choices(words, k=20))
            else:
                text = f"{number} " + "".join(draw.choices(CHINESE, k=60))
            row = {
                "id": f"r{number}",
                "text": text,
                "label": LABELS[number % 7],
                "facets": {"source": f"desk {number % 11}", "domain": LABELS[number % 5], "quality": number % 100 / 100},
            }
            file.write(json.dumps(row, ensure_ascii=False) + "\n")


def wait_ready(api: Api, version: int, seconds: float) -> dict[str, Any]:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        found = api.get(f"/versions/{version}")
        if found["state"] == "ready":
            return dict(found)
        assert found["state"] == "building", found["error"]
        time.sleep(0.05)
    raise TimeoutError(f"version {version} is still being built")


def milliseconds(client: httpx.Client, url: str, expect: Callable[[httpx.Response], bool] | None = None) -> list[float]:
    """Of ROUNDS requests, after two that warm up."""
    found = []
    for turn in range(ROUNDS + 2):
        begin = time.perf_counter()
        answer = client.get(url)
        elapsed = 1000 * (time.perf_counter() - begin)
        assert answer.status_code == 200, answer.text[:300]
        assert expect is None or expect(answer), url
        if turn > 1:
            found.append(elapsed)
    return found


def memory_mb(pid: int) -> float:
    lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    return sum(int(line.split()[1]) for line in lines if line.startswith("Pss:")) / 1024


class Largest:
    """The largest memory of a process while the block runs."""

    def __init__(self, pid: int) -> None:
        self.pid, self.value = pid, memory_mb(pid)
        self._end = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)

    def __enter__(self) -> "Largest":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._end.set()
        self._thread.join()

    def _watch(self) -> None:
        while not self._end.wait(0.1):
            self.value = max(self.value, memory_mb(self.pid))


def measure(product: Product, client: httpx.Client, slug: str, rows: int, folder: Path) -> Iterator[dict[str, Any]]:
    api = product.api
    path = folder / f"rows-{rows}.jsonl"
    write_rows(path, rows)
    begin = time.perf_counter()
    made = api.post(f"/workspaces/{slug}/datasets", {"upload": api.upload(slug, path), "name": f"Rows {rows}"})
    first = wait_ready(api, made["version"]["id"], 900)
    yield seconds("import, upload to ready", begin, goal=6 if rows <= 100_000 else 60)
    yield from pages(client, slug, made["id"], first["id"])
    begin = time.perf_counter()
    change = {"filter": "quality_max=0.009", "action": "set", "field": "split", "value": "test"}
    second = wait_ready(api, api.post(f"/versions/{first['id']}/change", change)["id"], 900)
    yield seconds("freeze the next version, 1 % changed", begin, goal=5 if rows <= 100_000 else None)
    begin = time.perf_counter()
    counts = api.get(f"/versions/{second['id']}/compare/{first['id']}")["counts"]
    assert counts == {"changed": rows // 100, "added": 0, "removed": 0, "same": rows - rows // 100}, counts
    yield seconds("compare two versions", begin, goal=5)
    begin = time.perf_counter()
    parts = api.post(f"/versions/{first['id']}/split", {"fraction": 0.1, "seed": 1})
    yield seconds("ask for a split (a job makes it)", begin, goal=None)
    for part in parts:
        wait_ready(api, part["id"], 900)
    yield seconds("split until ready", begin, goal=None)
    yield from downloads(client, first, memory_pid(product))


def pages(client: httpx.Client, slug: str, dataset: int, version: int) -> Iterator[dict[str, Any]]:
    records, page = f"/api/v1/versions/{version}/records", f"/w/{slug}/data/versions/{version}/"
    last = client.get(f"{records}?limit=50").json()["last_cursor"]
    none = lambda answer: not answer.json()["items"]  # noqa: E731
    some = lambda answer: bool(answer.json()["items"])  # noqa: E731
    yield timed("table, first page (API)", milliseconds(client, records, some), goal=30)
    yield timed("table, last page (API)", milliseconds(client, f"{records}?cursor={last}", some), goal=30)
    yield timed("table, first page (HTML)", milliseconds(client, page), goal=None)
    yield timed("dataset page (HTML)", milliseconds(client, f"/w/{slug}/data/{dataset}/"), goal=40)
    yield timed("datasets list (HTML)", milliseconds(client, f"/w/{slug}/data/"), goal=40)
    facets = "label=card&label=cash&source=desk+3&quality_min=0.5&length_max=140&state=labelled"
    yield timed("five facets", milliseconds(client, f"{records}?{facets}", some), goal=60)
    yield timed("facet counts under a filter", milliseconds(client, f"/api/v1/versions/{version}/facets?{facets}"), goal=60)
    for name, query, expect in (
        ("full text, hit", "q=declined+today", some),
        ("full text, no hit", "q=unobtainium", none),
        ("full text, Chinese, no hit", "q=年费是多少钱呢", none),
        ("full text, one Chinese character", "q=货", some),
        ("full text and facets, no hit", "q=declined+unobtainium&label=card", none),
        ("sorted by length, last first", "sort=-length", some),
    ):
        yield timed(name, milliseconds(client, f"{records}?{query}", expect), goal=60)


def memory_pid(product: Product) -> int:
    return product.processes()["web"]


def downloads(client: httpx.Client, version: dict[str, Any], pid: int) -> Iterator[dict[str, Any]]:
    url = f"/api/v1/versions/{version['id']}/download"
    rates = []
    before = memory_mb(pid)
    with Largest(pid) as largest:
        for _ in range(5):
            digest, size, begin = hashlib.sha256(), 0, time.perf_counter()
            with client.stream("GET", url) as answer:
                for piece in answer.iter_raw(1 << 20):
                    size += len(piece)
                rates.append(size / (time.perf_counter() - begin) / 1e6)
            assert size == version["bytes"]
        with client.stream("GET", url, headers={"Range": f"bytes={size // 2}-"}) as rest:
            assert rest.status_code == 206
        for piece in client.get(url).iter_bytes():
            digest.update(piece)
        assert digest.hexdigest() == version["sha256"]
    yield {"figure": "download of the canonical file", "value": round(statistics.median(rates)), "unit": "MB/s", "goal": 200}
    for name in ("csv", "openai"):
        begin, first_byte, size = time.perf_counter(), 0.0, 0
        with client.stream("GET", f"{url}?format={name}") as answer:
            for piece in answer.iter_raw():
                first_byte = first_byte or 1000 * (time.perf_counter() - begin)
                size += len(piece)
        yield seconds(f"export as {name}", begin, goal=8)
        yield {"figure": f"first byte of {name}", "value": round(first_byte, 1), "unit": "ms", "goal": 300}
    yield {"figure": "web server's memory grows by", "value": round(largest.value - before), "unit": "MB", "goal": 50}


def seconds(figure: str, begin: float, *, goal: float | None) -> dict[str, Any]:
    return {"figure": figure, "value": round(time.perf_counter() - begin, 2), "unit": "s", "goal": goal}


def timed(figure: str, values: list[float], *, goal: float | None) -> dict[str, Any]:
    ordered = sorted(values)
    p95 = ordered[int(0.95 * len(ordered))]
    return {"figure": figure, "value": round(p95, 1), "p50": round(statistics.median(values), 1), "unit": "ms p95", "goal": goal}


def main(sizes: list[int]) -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        product = Product(folder / "data").start()
        try:
            with httpx.Client(base_url=product.url, trust_env=False, follow_redirects=True, timeout=120) as client:
                client.get(product.login_link)
                for rows in sizes:
                    for line in measure(product, client, product.api.workspace(), rows, folder):
                        print(json.dumps({"rows": rows, **line}), flush=True)
        finally:
            product.stop()


if __name__ == "__main__":
    main([int(argument) for argument in sys.argv[1:]] or [100_000])
