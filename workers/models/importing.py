"""Brings a model in: from a folder on the server or from a hub, safetensors only, whole or not at all."""

import os
import shutil
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from workers.models import sentence_pieces
from workers.models.folder import BUFFER, check_folder, inspect, is_kept
from workers.models.hub import download, download_modelscope
from workers.models.internlm2 import convert, is_internlm2
from workers.models.space import require_space
from workers.program import Program
from workers.spec.errors import UserError
from workers.spec.registry import ImportModelSpec


def run(program: Program) -> Mapping[str, Any]:
    spec = ImportModelSpec.model_validate(program.run.spec)
    target = program.run.output_dir / "model"
    staging = program.run.output_dir / ".incoming"
    if not target.is_dir():
        _fill(program, spec, staging)
        program.phase("checking")
        sentence_pieces.convert(staging)
        if is_internlm2(staging):
            converted = program.run.output_dir / ".converted"
            convert(staging, converted)
            shutil.rmtree(staging)
            converted.rename(staging)
        check_folder(staging)
        staging.rename(target)
    program.phase("checking")
    facts = inspect(target)
    program.artifact("model", target, bytes=facts.bytes)
    return {"facts": facts.as_dict(), "source": spec.hub_id or spec.folder}


def _fill(program: Program, spec: ImportModelSpec, staging: Path) -> None:
    if spec.hub_id:
        program.phase("downloading")
        if spec.hub == "modelscope":
            download_modelscope(program, hub_id=spec.hub_id, revision=spec.revision, target=staging)
            return
        download(program, hub_id=spec.hub_id, revision=spec.revision, target=staging)
        return
    source, root = program.run.file("source").path, program.run.file("root").path
    program.phase("checking")
    check_folder(source)
    program.phase("copying")
    shutil.rmtree(staging, ignore_errors=True)
    copy_folder(source, staging, root=root, program=program)


def chosen_files(source: Path, root: Path) -> list[Path]:
    """Files of a model folder (and its additional chat templates) that are taken. A link that leaves `root` is refused."""
    found = [path for path in sorted(source.iterdir()) if path.is_file() and is_kept(path.name)]
    found += sorted(source.glob("additional_chat_templates/*.jinja"))
    for path in found:
        if not path.resolve().is_relative_to(root.resolve()):
            raise UserError(
                "model.link_outside",
                "{file} is a link that leaves the allowed folder; copy the file itself there.",
                file=path.name,
            )
    return found


def copy_folder(source: Path, target: Path, *, root: Path, program: Program) -> None:
    files = chosen_files(source, root)
    total = sum(path.stat().st_size for path in files)
    require_space(program.run.output_dir, total)
    done = 0
    for path in files:
        copy = target / path.relative_to(source)
        copy.parent.mkdir(parents=True, exist_ok=True)
        for count in copy_file(path, copy, program.check_stop):
            done += count
            program.progress(done, total, unit="bytes")


def copy_file(source: Path, target: Path, check_stop: Callable[[], None]) -> Iterator[int]:
    """Copy in blocks, so that a stop is obeyed inside a large file; yields the size of each block."""
    with source.open("rb") as reader, target.open("wb") as writer:
        while block := reader.read(BUFFER):
            check_stop()
            writer.write(block)
            yield len(block)
        writer.flush()
        os.fsync(writer.fileno())
