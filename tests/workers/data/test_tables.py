"""S6.5: Parquet, Arrow and folders of Hugging Face `datasets` come in by batches; Parquet goes out and comes back the same."""

import io
import json
import zipfile
from pathlib import Path
from typing import Any

import pyarrow
import pyarrow.parquet
import pytest

from tests.workers.data.test_annotations import HEARD, SEEN, TAGGED
from tests.workers.data.test_comparisons import MOSS, PREFERENCE, RANKED, VERDICT
from tests.workers.data.test_exporters import CONVERSATIONS, LABELLED, TOOL_USE, imported, round_trip
from tests.workers.data.test_importing import shared
from tests.workers.data.test_media import bring_in, pack, picture
from workers.data.exporters import export
from workers.data.importing import preview
from workers.spec.errors import UserError
from workers.spec.record import Record

FEATURES = {"info": {"features": {"label": {"names": ["bad", "good"], "_type": "ClassLabel"}, "text": {"dtype": "string"}}}}


def table(**columns: Any) -> pyarrow.Table:
    return pyarrow.table(columns).replace_schema_metadata({"huggingface": json.dumps(FEATURES)})


def parquet(content: pyarrow.Table) -> bytes:
    buffer = io.BytesIO()
    pyarrow.parquet.write_table(content, buffer, row_group_size=2)
    return buffer.getvalue()


def arrow(content: pyarrow.Table) -> bytes:
    buffer = io.BytesIO()
    with pyarrow.ipc.new_stream(buffer, content.schema) as writer:
        writer.write_table(content)
    return buffer.getvalue()


@pytest.mark.parametrize("format", ["parquet", "huggingface"])
def test_every_kind_of_record_comes_back_from_parquet(format: str, tmp_path: Path) -> None:
    records = [*CONVERSATIONS, TOOL_USE, *LABELLED, PREFERENCE, VERDICT, MOSS, RANKED, TAGGED, SEEN, HEARD]
    back = round_trip(records, format, tmp_path)
    assert [without_language(record) for record in back] == [without_language(record) for record in records]


def without_language(record: Record) -> Record:
    return record.model_copy(update={"facets": record.facets.model_copy(update={"language": None})})


@pytest.mark.parametrize("name", ["dpo_en_demo.json", "glaive_toolcall_zh_demo.json", "mllm_demo.json"])
def test_real_files_come_back_from_parquet(name: str, tmp_path: Path) -> None:
    records = imported(shared(f"llamafactory/{name}"))
    assert round_trip(records, "parquet", tmp_path) == records


def test_other_programs_read_our_turns_as_lists_of_objects(tmp_path: Path) -> None:
    content = pyarrow.parquet.read_table(io.BytesIO(b"".join(export(CONVERSATIONS, "parquet"))))
    assert content.column("messages")[0].as_py()[1]["content"] == "Where is the card?"


def test_columns_are_recognised_and_classes_named(tmp_path: Path) -> None:
    path = tmp_path / "a.parquet"
    path.write_bytes(parquet(table(text=["x", "y", "z"], label=[1, 0, 1], score=[0.5, float("nan"), 1.0])))
    records, refused, importer = bring_in(path)
    assert (refused, importer.format, importer.mapping) == ([], "parquet", {"text": "text", "label": "label"})
    assert [record.label for record in records] == ["good", "bad", "good"]
    assert [record.extra for record in records] == [{"score": 0.5}, {}, {"score": 1.0}]
    assert preview(path, limit=2)["whole"] is False


def test_folder_of_hugging_face_comes_in_with_its_parts(tmp_path: Path) -> None:
    members: dict[str, bytes | str] = {
        "set/dataset_dict.json": '{"splits": ["train", "test"]}',
        "set/train/data-00000-of-00001.arrow": arrow(table(text=["x", "y"], label=[1, 0])),
        "set/train/cache-1.arrow": b"junk",
        "set/train/state.json": "{}",
        "set/train/dataset_info.json": "{}",
        "set/test/data-00000-of-00001.arrow": arrow(table(text=["z"], label=[0])),
    }
    records, refused, importer = bring_in(pack(tmp_path / "a.zip", members))
    assert (refused, importer.format) == ([], "arrow")
    assert sorted((record.text, record.label, record.extra["split"]) for record in records) == [
        ("x", "good", "train"), ("y", "bad", "train"), ("z", "bad", "test"),
    ]  # fmt: skip


def test_pictures_within_parquet_are_stored(tmp_path: Path) -> None:
    jpeg = picture(16, 8)
    content = table(image=[{"bytes": jpeg, "path": "a.jpg"}, {"bytes": jpeg, "path": None}], label=[0, 1])
    path = tmp_path / "a.parquet"
    path.write_bytes(parquet(content))
    records, refused, _ = bring_in(path)
    assert refused == []
    assert [(record.label, record.media[0].width if record.media else None) for record in records] == [("bad", 16), ("good", 16)]
    assert all(record.media and record.media[0].sha256 for record in records)


def test_broken_tables_are_told(tmp_path: Path) -> None:
    path = tmp_path / "a.parquet"
    path.write_bytes(parquet(table(text=["x"], label=[1]))[:-20])
    with pytest.raises(UserError, match="cannot be read"):
        bring_in(path)
    with zipfile.ZipFile(tmp_path / "b.zip", "w") as archive:
        archive.writestr("data/train-0.parquet", path.read_bytes())
        archive.writestr("data/test-0.parquet", parquet(table(text=["fine"], label=[1])))
    records, refused, _ = bring_in(tmp_path / "b.zip")
    assert [record.text for record in records] == ["fine"]
    assert [code for _, code in refused] == ["dataset.broken_table"]
