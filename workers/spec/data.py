"""Specs of the jobs that bring data in."""

from typing import Literal

from pydantic import Field

from workers.spec.base import Spec

SourceFormat = Literal[
    "auto", "jsonl", "json", "csv", "tsv", "text", "alpaca", "sharegpt", "openai", "preference", "kto", "ranking",
    "moss", "guanaco", "labelllm", "wanjuan", "coco", "voc", "yolo", "labelme", "asr", "folder", "conll", "labelstudio",
    "labelu", "parquet", "webdataset", "document",
]  # fmt: skip

SourceEncoding = Literal["auto", "utf-8", "utf-16", "gb18030"]


class ImportDatasetSpec(Spec):
    """Read an uploaded file into a new immutable version of a dataset."""

    dataset: int = Field(description="dataset that gets the version")
    version: int = Field(description="version row being built")
    upload: int = Field(description="uploaded file")
    format: SourceFormat = "auto"
    encoding: SourceEncoding = "auto"
    mapping: dict[str, str] = Field(default_factory=dict, description="canonical field → column of the file")
    language: str | None = None
    licence: str | None = None
    domain: str | None = None
