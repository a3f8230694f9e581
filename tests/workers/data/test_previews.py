"""A preview is made while somebody waits: it never unpacks or reads more than a bound, whatever the file's size."""

import json
import zipfile
from pathlib import Path

import pyarrow
import pyarrow.parquet
import pytest

from workers.data import archive, importing
from workers.data.importing import Imported, Importer, Settings, preview
from workers.data.packages import tables
from workers.spec.errors import UserError


def folder_of_tables(path: Path) -> Path:
    """As `datasets` saves one: Arrow streams; a table of Parquet beside them."""
    table = pyarrow.table({"text": [f"row {number}" for number in range(40)]})
    sink = pyarrow.BufferOutputStream()
    with pyarrow.ipc.new_stream(sink, table.schema) as writer:
        writer.write_table(table, max_chunksize=10)
    pyarrow.parquet.write_table(table, path.with_suffix(".parquet"))
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as packed:
        packed.writestr("train/data-00000-of-00001.arrow", sink.getvalue().to_pybytes())
        packed.writestr("train/dataset_info.json", "{}")
        packed.write(path.with_suffix(".parquet"), "more/part.parquet")
    return path


def test_large_table_in_an_archive_is_not_unpacked_for_a_preview(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A stream is read as far as it is shown; what must be whole is refused with what to do, and imports all the same."""
    path = folder_of_tables(tmp_path / "folder.zip")
    assert preview(path, limit=10)["errors"] == []
    monkeypatch.setattr(tables, "PREVIEW_UNPACKED", 100)
    shown = preview(path, limit=50)
    assert [error["code"] for error in shown["errors"]] == ["dataset.too_large_to_show"]
    assert [record["text"] for record in shown["records"]] == [f"row {number}" for number in range(40)]
    items = list(Importer(path, path.name, Settings(), tmp_path / "media"))
    assert sum(isinstance(item, Imported) for item in items) == 80


def test_archive_of_very_many_files_is_not_listed_for_a_preview(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = folder_of_tables(tmp_path / "folder.zip")
    monkeypatch.setattr(archive, "PREVIEW_DIRECTORY", 50)
    with pytest.raises(UserError) as refused:
        preview(path)
    assert refused.value.code == "dataset.too_large_to_show"
    assert next(iter(Importer(path, path.name, Settings(), tmp_path / "media")))


def test_preview_that_takes_long_shows_what_it_has(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "a.jsonl"
    path.write_text("".join(json.dumps({"text": f"row {number}"}) + "\n" for number in range(9)))
    monkeypatch.setattr(importing, "PREVIEW_SECONDS", -1.0)
    shown = preview(path)
    assert (len(shown["records"]), shown["whole"]) == (1, False)
