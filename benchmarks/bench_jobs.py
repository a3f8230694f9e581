"""Latencies of the job machinery, on the real product:

- enqueue → child started: from the job row to its program's process, p50 (goal 500 ms);
- event → browser: from the line that the program writes to the message on the page's WebSocket, p95 (goal 100 ms);
- submit → first loss: from the request that starts a pre-training to its first loss point on the WebSocket (goal 8 s).
"""

import asyncio
import json
import statistics
import tempfile
import time
from datetime import datetime
from pathlib import Path
from typing import Any

import httpx
import websockets

from tests.product import Api, Product

JOBS = 20


def percentile(values: list[float], share: float) -> float:
    return sorted(values)[min(len(values) - 1, int(share * len(values)))]


def enqueue_latencies(api: Api, slug: str, folder: Path) -> list[float]:
    """Milliseconds from queued to child started, one job at a time on an idle machine."""
    found = []
    for number in range(JOBS):
        path = folder / f"small-{number}.jsonl"
        path.write_text(json.dumps({"text": f"record {number}", "label": "a"}) + "\n")
        made = api.post(f"/workspaces/{slug}/datasets", {"upload": api.upload(slug, path), "name": f"small {number}"})
        version = api.get(f"/datasets/{made['id']}/versions")["items"][0]
        job = api.wait_job(version["job"])
        begin, start = datetime.fromisoformat(job["created_at"]), datetime.fromisoformat(job["child_started_at"])
        found.append(1000 * (start - begin).total_seconds())
    return found


def pretraining(api: Api, slug: str, folder: Path) -> Any:
    """A corpus and a tokenizer; returns the body that starts a small pre-training."""
    path = folder / "corpus.jsonl"
    path.write_text("".join(json.dumps({"text": f"The sum of {n} and {n + 1} is {2 * n + 1}."}) + "\n" for n in range(4000)))
    made = api.post(f"/workspaces/{slug}/datasets", {"upload": api.upload(slug, path), "name": "corpus"})
    version = api.get(f"/datasets/{made['id']}/versions")["items"][0]
    api.wait_job(version["job"])
    job = api.post(f"/workspaces/{slug}/training/tokenizer", {"name": "digits", "datasets": [version["id"]], "vocabulary": 320})
    api.wait_job(job["id"])
    tokenizer = next(model for model in api.get(f"/workspaces/{slug}/models")["items"] if model["kind"] == "tokenizer")
    shape = {"hidden_size": 64, "layers": 2, "heads": 2, "context_length": 128}
    source = {"datasets": [version["id"]], "tokenizer": tokenizer["id"]}
    return {"name": "small", **source, "architecture": shape, "token_budget": 600_000}


async def listen(product: Product, api: Api, slug: str, body: Any) -> tuple[float, list[float]]:
    """Seconds to the first loss, and milliseconds from event to message of every point after it."""
    with httpx.Client(trust_env=False, follow_redirects=True) as browser:
        browser.get(product.login_link)
        cookie = "; ".join(f"{name}={value}" for name, value in browser.cookies.items())
    delays: list[float] = []
    begin = time.time()
    job = await asyncio.to_thread(api.post, f"/workspaces/{slug}/training/pretrain", body)
    address = product.url.replace("http", "ws") + "/ws/events/"
    headers = {"Cookie": cookie, "Origin": product.url}
    first = 0.0
    async with websockets.connect(address, additional_headers=headers) as socket:
        await socket.send(json.dumps({"type": "subscribe", "topic": f"job.{job['id']}"}))
        async for message in socket:
            payload = json.loads(message).get("payload", {})
            for _step, values, at in payload.get("points", []):
                if "loss" in values:
                    first = first or time.time() - begin
                    delays.append(1000 * (time.time() - at))
            if payload.get("state") in {"done", "failed"}:
                break
    return first, delays


def main() -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        product = Product(folder / "data").start()
        try:
            api = product.api
            slug = api.workspace()
            queued = enqueue_latencies(api, slug, folder)
            body = pretraining(api, slug, folder)
            first, delays = asyncio.run(listen(product, api, slug, body))
        finally:
            product.stop()
    report("enqueue to child started, ms", queued, goal_p50=500)
    report("event to browser, ms", delays, goal_p95=100)
    report("submit to first loss, s", [first], goal=8.0)


def report(figure: str, values: list[float], **goal: float) -> None:
    found = {"p50": round(statistics.median(values), 2), "p95": round(percentile(values, 0.95), 2), "n": len(values)}
    print(json.dumps({"figure": figure, **found, **goal}), flush=True)


if __name__ == "__main__":
    main()
