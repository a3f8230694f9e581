"""Specs of the jobs that bring data in."""

from typing import Literal

from pydantic import Field

from workers.spec.base import Spec

SourceFormat = Literal[
    "auto", "jsonl", "json", "csv", "tsv", "text", "alpaca", "sharegpt", "openai", "preference", "kto", "ranking",
    "moss", "guanaco", "labelllm", "wanjuan", "coco", "voc", "yolo", "labelme", "asr", "folder", "conll", "labelstudio",
    "labelu", "parquet", "webdataset", "document",
]  # fmt: skip

HubName = Literal["huggingface", "modelscope"]

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


class FetchDatasetSpec(Spec):
    """Download the data files of a repository on a hub; they become an upload that can be looked at and imported."""

    upload: int = Field(description="upload row being filled")
    hub: HubName = "huggingface"
    hub_id: str = Field(min_length=3, max_length=200, description="owner/name")
    revision: str = Field("", max_length=200, description="branch, tag or commit; empty: the first branch")
    file: str = Field("", max_length=500, description="one file or folder of it; empty: all data files")
