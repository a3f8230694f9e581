"""The run file: all that a child is told. The web resolves ids to paths, so it needs neither database nor secrets."""

from pathlib import Path
from typing import Any, Literal

from pydantic import Field

from workers.spec.base import Spec


class DatasetInput(Spec):
    """A dataset version as a canonical JSONL file (one `workers.spec.record.Record` a line)."""

    kind: Literal["dataset"] = "dataset"
    id: int
    name: str
    path: Path
    sha256: str
    count: int


class ModelInput(Spec):
    """A model folder in Hugging Face format (config.json, safetensors, tokenizer.json, chat template), or LoRA and base.

    An OpenAI-compatible endpoint has `base_url`, the `addresses` of its host that were checked (no others are called) and
    `remote_name` instead of a path; its key comes in the environment as SHUYUAN_ENDPOINT_KEY, never in this file.
    """

    kind: Literal["model"] = "model"
    id: int
    name: str
    path: Path | None = None
    adapter_path: Path | None = None
    base_url: str | None = None
    addresses: list[str] = Field(default_factory=list)
    remote_name: str | None = None
    sha256: str = Field("", description="digest of the weights that the registry recorded")
    template_hash: str = Field("", description="digest of tokenizer and chat template that the registry recorded")
    fingerprint: str = Field("", description="tokens of fixed conversations when it was trained; see data.token_identity")


class FileInput(Spec):
    """An uploaded file or a folder that the job reads."""

    kind: Literal["file"] = "file"
    name: str
    path: Path


class RunFile(Spec):
    """`run.json` in the run directory: the one argument of `python -m workers.<program> run.json`.

    `inputs` maps the role of an input (`base_model`, `dataset`, `dataset.2`, `upload`) to where it lies.
    The program appends to `events.jsonl`, prints its log to stdout, writes what it makes below `output_dir`
    and its checkpoints below `run_dir/checkpoints`; `attempt` > 1 means: go on from the last checkpoint.
    """

    job: int
    attempt: int = 1
    kind: str
    spec: dict[str, Any]
    inputs: dict[str, DatasetInput | ModelInput | FileInput] = Field(default_factory=dict)
    run_dir: Path
    output_dir: Path
    threads: int = 1
    device: str = "cpu"

    def dataset(self, role: str = "dataset") -> DatasetInput:
        found = self.inputs[role]
        assert isinstance(found, DatasetInput), f"input {role} is no dataset"
        return found

    def model(self, role: str = "model") -> ModelInput:
        found = self.inputs[role]
        assert isinstance(found, ModelInput), f"input {role} is no model"
        return found

    def file(self, role: str = "upload") -> FileInput:
        found = self.inputs[role]
        assert isinstance(found, FileInput), f"input {role} is no file"
        return found
