"""Takes a model out: one zip file or a folder, with its card; a LoRA is merged into its base when asked for."""

import json
import shutil
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from workers.models.folder import BUFFER, file_digest
from workers.models.importing import copy_folder
from workers.models.space import require_space
from workers.program import Program
from workers.spec.errors import UserError
from workers.spec.registry import ExportModelSpec
from workers.spec.run import ModelInput


def run(program: Program) -> Mapping[str, Any]:
    """`inputs`: `model`, and `card` (a JSON file that becomes card.json in the export)."""
    spec = ExportModelSpec.model_validate(program.run.spec)
    model = program.run.model()
    merged = program.run.output_dir / ".merged"
    source = _source(program, model, spec, merged)
    try:
        if spec.format == "gguf":
            written = _write_gguf(program, source, model.name)
        elif spec.format == "folder":
            written = _write_folder(program, source, model.name)
        else:
            written = _write_zip(program, source, model.name)
    finally:
        shutil.rmtree(merged, ignore_errors=True)
    size = sum(path.stat().st_size for path in [written, *written.rglob("*")] if path.is_file())
    program.artifact("export", written, bytes=size)
    digest = file_digest(written) if written.is_file() else ""
    return {"file": written.name, "bytes": size, "sha256": digest, "format": spec.format, "merged": source == merged}


def _source(program: Program, model: ModelInput, spec: ExportModelSpec, merged: Path) -> Path:
    if model.path is None:
        raise UserError(
            "model.remote_export",
            "“{name}” is an endpoint; its weights are not on this server and cannot be exported.",
            name=model.name,
        )
    if model.adapter_path is None:
        return model.path
    if not spec.merge and spec.format != "gguf":
        return model.adapter_path
    program.phase("merging")
    from workers.models.merging import merge

    merge(base=model.path, adapter=model.adapter_path, target=merged)
    return merged


def file_name(name: str) -> str:
    """A model's name as a file name that every system takes."""
    kept = "".join(character if character.isalnum() or character in "-_." else "-" for character in name)
    return kept.strip("-.")[:100] or "model"


def _write_zip(program: Program, source: Path, name: str) -> Path:
    """Stored, not compressed: weights do not shrink. Appears under its name only when it is whole."""
    program.phase("packing")
    files = _files(source)
    total = sum(path.stat().st_size for path in files)
    require_space(program.run.output_dir, total)
    target = program.run.output_dir / f"{file_name(name)}.zip"
    temporary = target.with_name(f".{target.name}.tmp")
    done = 0
    with zipfile.ZipFile(temporary, "w", zipfile.ZIP_STORED, allowZip64=True) as archive:
        for path in files:
            inside = f"{file_name(name)}/{path.relative_to(source).as_posix()}"
            with path.open("rb") as reader, archive.open(_entry(path, inside), "w", force_zip64=True) as writer:
                while block := reader.read(BUFFER):
                    program.check_stop()
                    writer.write(block)
                    done += len(block)
                    program.progress(done, total, unit="bytes")
        archive.writestr(f"{file_name(name)}/card.json", _card(program))
    temporary.replace(target)
    return target


def _entry(path: Path, inside: str) -> zipfile.ZipInfo:
    entry = zipfile.ZipInfo.from_file(path, inside)
    entry.compress_type = zipfile.ZIP_STORED
    return entry


def _write_folder(program: Program, source: Path, name: str) -> Path:
    program.phase("copying")
    target = program.run.output_dir / file_name(name)
    temporary = target.with_name(f".{target.name}.tmp")
    shutil.rmtree(temporary, ignore_errors=True)
    copy_folder(source, temporary, root=source, program=program)
    (temporary / "card.json").write_text(_card(program), encoding="utf-8")
    shutil.rmtree(target, ignore_errors=True)
    temporary.rename(target)
    return target


def _write_gguf(program: Program, source: Path, name: str) -> Path:
    program.phase("converting")
    from workers.engine.checkpoint import Checkpoint
    from workers.engine.gguf_export import Unsupported, export

    target = program.run.output_dir / f"{file_name(name)}.gguf"
    try:
        written = export(Checkpoint(source), "f16", program.run.output_dir / ".gguf")
    except Unsupported as error:
        raise UserError(
            "model.no_gguf", "“{name}” cannot be written as GGUF: {detail}.", name=name, detail=str(error)[:200]
        ) from error
    written.replace(target)
    shutil.rmtree(program.run.output_dir / ".gguf", ignore_errors=True)
    return target


def _files(source: Path) -> list[Path]:
    return sorted(path for path in source.rglob("*") if path.is_file())


def _card(program: Program) -> str:
    path = program.run.file("card").path
    return json.dumps(json.loads(path.read_text(encoding="utf-8")), ensure_ascii=False, indent=2)
