"""What processing did: the report of a finished run, or how far a running one is."""

import difflib
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from django.http import HttpRequest, HttpResponseBase

from webapp.core.errors import NotFound
from webapp.core.streaming import send_file, stream
from webapp.datasets.exports import file_name, gather
from webapp.datasets.models import DatasetVersion
from webapp.datasets.processing.kinds import kept_folder
from webapp.datasets.processing.wording import EXPLAINED, detail_words, reason_label, stage_label
from webapp.jobs import paths
from workers.data.processing.outcome import Tally
from workers.spec.processing import Stages

_PIECE = re.compile(r"\w+|\s+|[^\w\s]")
_COMPARED = 800
_VISIBLE = str.maketrans(
    {" ": "·", "\n": "↵\n", "\t": "→", "\u3000": "□", "\u00a0": "·", "\r": "␍", "\u200b": "∅", "\ufeff": "∅"}
)
NDJSON = "application/x-ndjson; charset=utf-8"


def was_processed(version: DatasetVersion) -> bool:
    return "processed" in version.recipe


def read_report(version: DatasetVersion) -> dict[str, Any]:
    """{"stages": […], "done": whether all stages are in it}. NotFound for versions made in another way."""
    if not was_processed(version):
        raise NotFound
    made = [kept_folder(version) / "report.json"]
    if version.job_id:
        made.append(paths.output_dir(version.job_id) / "report.json")
    for path in made:
        if path.exists():
            return {"stages": json.loads(path.read_text(encoding="utf-8"))["stages"], "done": True}
    return {"stages": _so_far(version), "done": False}


def _so_far(version: DatasetVersion) -> list[dict[str, Any]]:
    """Stages that a running job has counted, from the state that it writes every few seconds."""
    path = paths.run_dir(version.job_id) / "work" / "state.json" if version.job_id else None
    if path is None or not path.exists():
        return []
    names = Stages.model_validate(version.recipe["processed"]).active()
    tallies = json.loads(path.read_text(encoding="utf-8"))["tallies"]
    return [{"name": name, **Tally.load(tally).report()} for name, tally in zip(names, tallies, strict=False)]


def told(stages: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Reports of stages with their words, for a template."""
    return [
        {
            **stage,
            "label": stage_label(stage["name"]),
            "text": EXPLAINED.get(stage["name"], ""),
            "share": stage["dropped"] / stage["entered"] if stage["entered"] else 0,
            "reason_words": [(reason_label(code), count) for code, count in stage["reasons"].items()],
            "change_words": [(reason_label(code), count) for code, count in stage["changes"].items()],
            "dropped_samples": [_sample(sample) for sample in stage["dropped_samples"]],
            "changed_samples": [_sample(sample) for sample in stage["changed_samples"]],
            "clusters": [_cluster(cluster) for cluster in stage.get("clusters", [])],
            "cluster_count": sum(stage.get("cluster_sizes", {}).values()),
        }
        for stage in stages
    ]


def _sample(sample: dict[str, Any]) -> dict[str, Any]:
    found = {**sample, "why": reason_label(sample["reason"]), "figures": detail_words(sample["detail"])}
    if "after" in sample and sample["reason"] not in {"html", "file"}:
        found["pieces"] = difference(sample["before"], sample["after"])
    return found


def difference(before: str, after: str) -> list[tuple[str, str]]:
    """(same | gone | new, text) from one text to the other; spaces that changed are made visible."""
    old, new = _PIECE.findall(before)[:_COMPARED], _PIECE.findall(after)[:_COMPARED]
    pieces: list[tuple[str, str]] = []
    for what, i1, i2, j1, j2 in difflib.SequenceMatcher(None, old, new, autojunk=False).get_opcodes():
        if what == "equal":
            pieces.append(("same", "".join(old[i1:i2])))
            continue
        pieces += [("gone", "".join(old[i1:i2]).translate(_VISIBLE)), ("new", "".join(new[j1:j2]).translate(_VISIBLE))]
    return [(kind, text) for kind, text in pieces if text]


def _cluster(cluster: dict[str, Any]) -> dict[str, Any]:
    members = [{**member, "why": reason_label(member["how"])} for member in cluster["members"]]
    return {**cluster, "members": members, "more": cluster["size"] - 1 - len(members)}


def dropped_path(version: DatasetVersion) -> Path:
    path = kept_folder(version) / "dropped.jsonl"
    if not was_processed(version) or not path.is_file():
        raise NotFound
    return path


def download_dropped(request: HttpRequest, version: DatasetVersion, stage: str = "") -> HttpResponseBase:
    """One JSON line per dropped record: stage, reason, detail, record. All (resumable), or those of one stage."""
    path = dropped_path(version)
    if not stage:
        return send_file(request, path, name=file_name(version, ".jsonl", "-dropped"), content_type=NDJSON)
    mark = f'{{"stage":{json.dumps(stage)},'.encode()
    name = file_name(version, ".jsonl", "-dropped-" + "".join(character for character in stage if character.isalnum()))
    return stream(gather(_of_stage(path, mark)), name=name, content_type=NDJSON)


def _of_stage(path: Path, mark: bytes) -> Iterator[bytes]:
    with path.open("rb") as file:
        for line in file:
            if line.startswith(mark):
                yield line
