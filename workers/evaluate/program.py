"""The job `evaluate`: one model on one dataset version; samples.jsonl and a score with its interval."""

import hashlib
import json
import time
from collections.abc import Iterable, Mapping
from contextlib import closing
from typing import Any

from workers.data.records import read_records
from workers.evaluate.questions import Examination, prepare
from workers.evaluate.samples import Sample, SampleLog
from workers.evaluate.statistics import mean_interval, wilson
from workers.program import Program
from workers.spec.evaluate import EvalSpec
from workers.spec.run import ModelInput

_REPORT_EVERY_SECONDS = 0.5


def evaluate(program: Program) -> Mapping[str, Any]:
    spec = EvalSpec.model_validate(program.run.spec)
    dataset, model = program.run.dataset("dataset"), program.run.model("model")
    program.phase("reading")
    examination = prepare(list(read_records(dataset.path)), spec.config, spec.seed)
    program.check_stop()
    program.phase("loading")
    examiner = _examiner(program, model, examination, spec)
    key = _key(spec, dataset.sha256, model, examiner.template_hash)
    program.phase("asking")
    started = time.monotonic()
    with closing(SampleLog(program.run.run_dir / "checkpoints" / "samples.jsonl", key)) as log:
        _ask(program, examiner, examination, log)
    program.phase("saving")
    path = program.run.output_dir / "samples.jsonl"
    log.write_in_order(path)
    program.artifact("samples", path, count=len(log.done))
    return {
        **summary(log.done.values(), spec),
        "dropped": dict(examination.dropped),
        "examples": examination.example_ids,
        "inferencer": examiner.way,
        "template_hash": examiner.template_hash,
        "seconds": round(time.monotonic() - started, 3),
    }


def _examiner(program: Program, model: ModelInput, examination: Examination, spec: EvalSpec) -> Any:
    if model.base_url is not None:
        from workers.evaluate.endpoint_examiner import EndpointExaminer

        return EndpointExaminer(model, examination.questions, spec, program.check_stop)
    import torch

    from workers.evaluate.local import load_local
    from workers.evaluate.local_examiner import LocalExaminer

    torch.set_num_threads(max(program.run.threads, 1))
    return LocalExaminer(load_local(model, program.run.device), examination.questions, spec)


def _key(spec: EvalSpec, dataset_sha256: str, model: ModelInput, template_hash: str | None) -> str:
    """Names what a sample depends on; another value means that earlier samples are of another examination."""
    parts = [spec.digest(), dataset_sha256, model.model_dump_json(), template_hash]
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()


def _ask(program: Program, examiner: Any, examination: Examination, log: SampleLog) -> None:
    """Ask what is not answered yet. A batch that lacks any answer is asked again as a whole: same batch, same answers."""
    positions = [question.position for question in examination.questions]
    pending = [unit for unit in examiner.units if any(positions[index] not in log.done for index in unit)]
    total = len(positions)
    done = correct = 0
    for unit in examiner.units:
        if all(positions[index] in log.done for index in unit):
            done += len(unit)
            correct += sum(log.done[positions[index]].correct for index in unit)
    reporter = _Reporter(program, total, done)
    for samples in examiner.ask(pending):
        log.add(samples)
        done += len(samples)
        correct += sum(sample.correct for sample in samples)
        reporter.report(done, correct)
        program.check_stop()
    reporter.report(done, correct, final=True)


class _Reporter:
    """Progress and running accuracy, twice a second at most."""

    def __init__(self, program: Program, total: int, done: int) -> None:
        self._program = program
        self._total = total
        self._first = done
        self._started = time.monotonic()
        self._last = 0.0

    def report(self, done: int, correct: int, final: bool = False) -> None:
        now = time.monotonic()
        if not final and now - self._last < _REPORT_EVERY_SECONDS:
            return
        self._last = now
        fresh = done - self._first
        eta = (now - self._started) / fresh * (self._total - done) if fresh else None
        self._program.progress(done, self._total, unit="questions", eta_seconds=None if eta is None else round(eta, 1))
        self._program.metric(done, accuracy=correct / max(done, 1))


def summary(samples: Iterable[Sample], spec: EvalSpec) -> dict[str, Any]:
    """Score, interval and tables over finished samples; questions that an endpoint refused count as wrong and are told."""
    ordered = sorted(samples, key=lambda sample: sample.position)
    scores = [sample.score for sample in ordered]
    n, correct = len(ordered), sum(sample.correct for sample in ordered)
    low, high = mean_interval(scores)
    found: dict[str, Any] = {
        "method": spec.config.method,
        "metric": "accuracy" if spec.config.method == "multiple_choice" else spec.config.metric,
        "score": sum(scores) / n if n else 0.0,
        "n": n,
        "correct": correct,
        "interval": [low, high],
        "by_label": _by_label(ordered),
        "truncated": sum(sample.truncated for sample in ordered),
        "unfinished": sum(sample.unfinished for sample in ordered),
        "not_extracted": sum(not sample.extracted for sample in ordered),
        "refused": sum(sample.error is not None for sample in ordered),
        "prompt_tokens": sum(sample.prompt_tokens for sample in ordered),
        "output_tokens": sum(sample.output_tokens for sample in ordered),
    }
    if ordered and ordered[0].scores:
        found["score_by_sum"] = _share(ordered, "scores")
        found["score_by_mean"] = _share(ordered, "normalised_scores")
    return found


def _share(samples: list[Sample], kind: str) -> float:
    """Share right when `scores` (sums) or `normalised_scores` (per token) decide."""
    right = 0
    for sample in samples:
        values = getattr(sample, kind)
        right += bool(values) and values.index(max(values)) == sample.reference_index
    return right / len(samples)


def _by_label(samples: list[Sample]) -> dict[str, dict[str, Any]]:
    """For each label: how many have it, how many of them were right with the interval, how often it was the answer."""
    table: dict[str, dict[str, Any]] = {}

    def row(label: str) -> dict[str, Any]:
        return table.setdefault(label, {"n": 0, "correct": 0, "predicted": 0})

    for sample in samples:
        if sample.label is None:
            continue
        row(sample.label)["n"] += 1
        row(sample.label)["correct"] += sample.correct
        if sample.predicted is not None:
            row(sample.predicted)["predicted"] += 1
    for entry in table.values():
        entry["interval"] = list(wilson(entry["correct"], entry["n"]))
    return dict(sorted(table.items()))
