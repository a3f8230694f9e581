"""Downloads a model repository from Hugging Face (HF_ENDPOINT names a mirror) or ModelScope. Only safetensors and texts."""

import os
import shutil
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from workers.hubs import Repository, safe_path
from workers.models.folder import check_weight_names, is_kept
from workers.models.space import require_space
from workers.program import Program
from workers.spec.errors import UserError

POLL_SECONDS = 0.5
DEFAULT_HUB = "https://huggingface.co"


def download(program: Program, *, hub_id: str, revision: str, target: Path) -> None:
    """Fetch the repository into `target`; what an earlier attempt fetched is kept. UserError when the hub says no."""
    os.environ["HF_HUB_DISABLE_PROGRESS_BARS"] = "1"
    from huggingface_hub import HfApi, hf_hub_download

    with _told_in_one_sentence(hub_id, revision):
        info = HfApi().model_info(hub_id, revision=revision, files_metadata=True, timeout=30)
        files = {item.rfilename: item.size or 0 for item in info.siblings or [] if _is_wanted(item.rfilename)}
        check_weight_names(hub_id, [item.rfilename for item in info.siblings or [] if "/" not in item.rfilename])
        total = sum(files.values())
        require_space(program.run.output_dir, total)
        with _progress(program, target, total):
            for name in sorted(files):
                program.check_stop()
                hf_hub_download(hub_id, name, revision=info.sha or revision, local_dir=target)
    shutil.rmtree(target / ".cache", ignore_errors=True)


def download_modelscope(program: Program, *, hub_id: str, revision: str, target: Path) -> None:
    """The same from ModelScope (MODELSCOPE_ENDPOINT names another address)."""
    repository = Repository("modelscope", "models", hub_id, revision)
    listed = repository.files()
    check_weight_names(hub_id, [file.path for file in listed if "/" not in file.path])
    files = [file for file in listed if safe_path(file.path) and _is_wanted(file.path)]
    total, done = sum(file.size for file in files), 0
    require_space(program.run.output_dir, total)

    def arrived(count: int) -> None:
        nonlocal done
        done += count
        program.progress(min(done, total), total, unit="bytes")

    for file in sorted(files, key=lambda file: file.path):
        program.check_stop()
        repository.download(file, target / file.path, program.check_stop, arrived)


def _is_wanted(name: str) -> bool:
    if name.startswith("additional_chat_templates/"):
        return name.endswith(".jinja")
    return "/" not in name and is_kept(name)


@contextmanager
def _progress(program: Program, target: Path, total: int) -> Iterator[None]:
    """Report the bytes that have arrived; parts of files lie below `target` too."""
    ended = threading.Event()

    def watch() -> None:
        while not ended.wait(POLL_SECONDS):
            program.progress(min(_bytes_below(target), total), total, unit="bytes")

    watcher = threading.Thread(target=watch, daemon=True)
    watcher.start()
    try:
        yield
    finally:
        ended.set()
        watcher.join()
    program.progress(total, total, unit="bytes")


def _bytes_below(folder: Path) -> int:
    total = 0
    for path in folder.rglob("*"):
        try:
            total += path.stat().st_size if path.is_file() else 0
        except OSError:
            continue  # a part was renamed to its file just now
    return total


@contextmanager
def _told_in_one_sentence(hub_id: str, revision: str) -> Iterator[None]:
    from huggingface_hub import errors

    hub = os.environ.get("HF_ENDPOINT") or DEFAULT_HUB
    facts: dict[str, Any] = {"id": hub_id, "hub": hub}
    try:
        yield
    except errors.GatedRepoError as error:
        raise UserError(
            "hub.gated",
            "{id} may only be downloaded with its owner's consent; download it yourself and import the folder.",
            **facts,
        ) from error
    except errors.RevisionNotFoundError as error:
        raise UserError(
            "hub.no_revision", "{id} on {hub} has no version “{revision}”; use “main”.", revision=revision, **facts
        ) from error
    except errors.RepositoryNotFoundError as error:
        raise UserError("hub.not_found", "{hub} has no public model “{id}”; check its name.", **facts) from error
    except errors.HFValidationError as error:
        raise UserError("hub.bad_id", "“{id}” is no model name; write it as owner/name.", **facts) from error
    except errors.HfHubHTTPError as error:
        status = error.response.status_code if error.response is not None else 0
        raise UserError("hub.refused", "{hub} answered {answer} for {id}; try again later.", answer=status, **facts) from error
    except (errors.OfflineModeIsEnabled, errors.LocalEntryNotFoundError, errors.HTTPError) as error:
        raise UserError(
            "hub.unreachable",
            "{hub} cannot be reached from this server; set HF_ENDPOINT to a mirror, or copy the model into a folder "
            "on the server and import that.",
            **facts,
        ) from error
