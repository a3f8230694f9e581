"""Cold start and idle memory: seconds from `manage.py up` to the first page (set up before; migrated), and the
proportional memory (PSS, MB) of web + worker + redis before any model is loaded. Goals: 3 s, 250 MB."""

import json
import statistics
import tempfile
import time
from pathlib import Path

import httpx

from tests.product import Product

ROUNDS = 5


def pss_mb(pid: int) -> float:
    lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    return sum(int(line.split()[1]) for line in lines if line.startswith("Pss:")) / 1024


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        product = Product(Path(folder) / "data")
        begin = time.perf_counter()
        product.start().stop()
        first = time.perf_counter() - begin
        seconds, memory = [], []
        for _ in range(ROUNDS):
            begin = time.perf_counter()
            product.start()
            page = httpx.get(product.login_link, follow_redirects=True, trust_env=False)
            seconds.append(time.perf_counter() - begin)
            assert page.status_code == 200, page.text[:300]
            time.sleep(3)
            memory.append(sum(pss_mb(pid) for pid in product.processes().values()))
            product.stop()
    report("very first start, with migrations", first, "seconds", goal=None)
    report("cold start to first page", statistics.median(seconds), "seconds", goal=3.0)
    report("idle memory of web, worker and redis", statistics.median(memory), "MB", goal=250.0)


def report(figure: str, value: float, unit: str, *, goal: float | None) -> None:
    ratio = {"goal": goal, "ratio_to_goal": round(value / goal, 2)} if goal else {}
    print(json.dumps({"figure": figure, "value": round(value, 2), "unit": unit, **ratio}), flush=True)


if __name__ == "__main__":
    main()
