"""Specs of the jobs that bring models in and take them out."""

from typing import Literal

from pydantic import Field

from workers.spec.base import Spec
from workers.spec.data import HubName


class ImportModelSpec(Spec):
    """Copy a Hugging Face folder or hub repository (safetensors only) into the registry."""

    name: str = Field(min_length=1, max_length=120)
    model: int = Field(description="registry row being filled")
    folder: str | None = Field(None, description="path on the server")
    hub: HubName = "huggingface"
    hub_id: str | None = None
    revision: str = "main"


class ExportModelSpec(Spec):
    model: int
    format: Literal["folder", "zip", "gguf"] = "zip"
    merge: bool = Field(True, description="merge a LoRA into its base")


class MergeModelSpec(Spec):
    """Add a LoRA into the weights of its base: a full model, which can be trained further."""

    name: str = Field(min_length=1, max_length=120)
    model: int
