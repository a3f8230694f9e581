"""The job `prelabel`: asks the model about every task, many at a time; predictions.jsonl, one line for each task."""

import asyncio
import json
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from workers.evaluate.endpoint import Endpoint, RequestRefused
from workers.prelabel.asking import ASKABLE, constraint, learnt_messages, messages_for, read_answer
from workers.program import Program
from workers.spec.errors import UserError
from workers.spec.prelabel import PrelabelSpec

LOOK_FOR_STOP_SECONDS = 0.5
AT_ONCE = 64


def prelabel(program: Program) -> Mapping[str, Any]:
    spec = PrelabelSpec.model_validate(program.run.spec)
    fields = [field for field in spec.fields if field["type"] in ASKABLE]
    if not fields:
        raise UserError("prelabel.nothing_to_ask", "None of the questions is one that a language model can answer.")
    tasks = list(_lines(program.run.file("tasks").path))
    kept = program.run.run_dir / "checkpoints" / "predictions.jsonl"
    kept.parent.mkdir(exist_ok=True)
    done = {line["task"] for line in _whole_lines(kept)}
    program.phase("asking")
    asyncio.run(_ask_all(program, spec, fields, [task for task in tasks if task["task"] not in done], kept))
    program.phase("saving")
    lines = list(_whole_lines(kept))
    path = program.run.output_dir / "predictions.jsonl"
    path.write_text("".join(json.dumps(line, ensure_ascii=False) + "\n" for line in lines), encoding="utf-8")
    program.artifact("predictions", path, count=len(lines))
    return {"asked": len(lines), "answered": sum(bool(line["value"]) for line in lines)}


def _lines(path: Path) -> Iterator[Any]:
    with path.open(encoding="utf-8") as file:
        for line in file:
            yield json.loads(line)


def _whole_lines(path: Path) -> Iterator[Any]:
    """What is there already; a line torn by a crash is cut off and asked again."""
    if not path.exists():
        return
    content = path.read_bytes()
    whole = content.rfind(b"\n") + 1
    if whole < len(content):
        os.truncate(path, whole)
    for line in content[:whole].splitlines():
        yield json.loads(line)


async def _ask_all(program: Program, spec: PrelabelSpec, fields: list[dict[str, Any]], tasks: list[Any], kept: Path) -> None:
    endpoint = Endpoint(program.run.model("model"))
    waiting = iter(tasks)
    running: set[asyncio.Task[dict[str, Any]]] = set()
    done = 0
    try:
        with kept.open("a", encoding="utf-8") as file:
            while True:
                for task in waiting:
                    running.add(asyncio.ensure_future(_predict(endpoint, spec, fields, task)))
                    if len(running) >= AT_ONCE:
                        break
                if not running:
                    return
                finished, running = await asyncio.wait(
                    running, timeout=LOOK_FOR_STOP_SECONDS, return_when=asyncio.FIRST_COMPLETED
                )
                for one in finished:
                    file.write(json.dumps(one.result(), ensure_ascii=False) + "\n")
                file.flush()
                done += len(finished)
                program.progress(done, len(tasks), unit="tasks")
                program.check_stop()
    finally:
        for one in running:
            one.cancel()
        await asyncio.gather(*running, return_exceptions=True)
        await endpoint.close()


async def _predict(endpoint: Endpoint, spec: PrelabelSpec, fields: list[dict[str, Any]], task: dict[str, Any]) -> dict[str, Any]:
    """One line: the answers, and how sure the model is of the least sure one. A refused question has no answer."""
    answers, scores = [], []
    for field in fields:
        ask = learnt_messages if spec.wording == "learnt" else messages_for
        body = {"messages": ask(field, task["data"]), "max_tokens": spec.max_new_tokens, "temperature": 0}
        try:
            content = await _complete(endpoint, body, constraint(field, learnt=spec.wording == "learnt"))
        except RequestRefused:
            continue
        choices = content.get("choices") or [{}]
        value, score = read_answer(field, task["data"], choices[0])
        if value not in (None, "", []):
            answers.append({"q": field["name"], "type": field["type"], "value": value})
            scores += [] if score is None else [score]
    return {"task": task["task"], "value": answers, "score": min(scores) if scores else None}


async def _complete(endpoint: Endpoint, body: dict[str, Any], extra: dict[str, Any]) -> dict[str, Any]:
    """Endpoints that do not tell probabilities refuse the whole request; then it is asked without them."""
    try:
        return await endpoint.post("/chat/completions", {**body, **extra})
    except RequestRefused:
        plain = {name: value for name, value in extra.items() if "logprobs" not in name}
        if plain == extra:
            raise
        return await endpoint.post("/chat/completions", {**body, **plain})
