"""The job `fetch_dataset`: the data files of a repository on a hub become one file, as if somebody had uploaded it."""

import shutil
import zipfile
from collections import defaultdict
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from workers.hubs import HubFile, Repository, safe_path
from workers.program import Program
from workers.spec.data import FetchDatasetSpec
from workers.spec.errors import UserError

ENDINGS = (
    ".parquet", ".jsonl", ".jsonl.gz", ".ndjson", ".json", ".json.gz", ".csv", ".csv.gz", ".tsv", ".tsv.gz", ".txt", ".txt.gz",
    ".zip", ".tar",
)  # fmt: skip
ABOUT_THE_DATA = {"dataset_info.json", "dataset_infos.json", "config.json", "state.json", "requirements.txt", "license.txt"}
RESERVE = 64 << 20


def fetch_dataset(program: Program) -> Mapping[str, Any]:
    spec = FetchDatasetSpec.model_validate(program.run.spec)
    repository = Repository(spec.hub, "datasets", spec.hub_id, spec.revision)
    program.phase("downloading")
    files = chosen(repository.files(), spec)
    total, done = sum(file.size for file in files), 0
    _require_space(program.run.output_dir, total * (1 if len(files) == 1 else 2))

    def arrived(count: int) -> None:
        nonlocal done
        done += count
        program.progress(min(done, max(total, 1)), max(total, 1), unit="bytes")

    incoming = program.run.output_dir / ".incoming"
    for file in files:
        program.check_stop()
        repository.download(file, incoming / file.path, program.check_stop, arrived)
    made = _one_file(program, incoming, files, spec)
    return {"file": made.name, "bytes": made.stat().st_size, "files": [file.path for file in files]}


def chosen(files: list[HubFile], spec: FetchDatasetSpec) -> list[HubFile]:
    """The file or folder that was asked for; else all data files of the kind that holds most."""
    usable = [file for file in files if safe_path(file.path) and file.path.lower().endswith(ENDINGS)]
    wanted = spec.file.strip().strip("/")
    if wanted:
        found = [file for file in usable if file.path == wanted or file.path.startswith(f"{wanted}/")]
    else:
        by_ending: dict[str, list[HubFile]] = defaultdict(list)
        for file in usable:
            name = file.path.rpartition("/")[2].lower()
            if name not in ABOUT_THE_DATA and not name.startswith("."):
                by_ending[next(ending for ending in ENDINGS if name.endswith(ending))].append(file)
        found = max(by_ending.values(), key=lambda group: sum(file.size for file in group), default=[])
    if not found:
        raise UserError(
            "hub.no_data",
            "{id} has no data file{place} that can be read here ({endings}); choose another file or dataset.",
            id=spec.hub_id,
            place=f" “{wanted}”" if wanted else "",
            endings=", ".join(ENDINGS),
        )
    return sorted(found, key=lambda file: file.path)


def _one_file(program: Program, incoming: Path, files: list[HubFile], spec: FetchDatasetSpec) -> Path:
    """The file itself, or all of them in one archive."""
    target = program.run.output_dir / "fetched"
    if len(files) == 1:
        target = program.run.output_dir / files[0].path.rpartition("/")[2]
        (incoming / files[0].path).replace(target)
    else:
        program.phase("packing")
        target = program.run.output_dir / f"{spec.hub_id.rpartition('/')[2]}.zip"
        temporary = target.with_name(f".{target.name}.tmp")
        with zipfile.ZipFile(temporary, "w", zipfile.ZIP_STORED, allowZip64=True) as archive:
            for file in files:
                program.check_stop()
                archive.write(incoming / file.path, file.path)
        temporary.replace(target)
    shutil.rmtree(incoming, ignore_errors=True)
    return target


def _require_space(folder: Path, needed: int) -> None:
    free = shutil.disk_usage(folder).free
    if free < needed + RESERVE:
        raise UserError(
            "hub.no_space",
            "The files need {needed} MB and the disk has {free} MB left; free some space and press Retry.",
            needed=(needed + RESERVE) >> 20,
            free=free >> 20,
        )
