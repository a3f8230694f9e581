"""Portions of the words in which a word cannot stand are left out, and no other."""

from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as some

from tests.workers.data.test_index import build, positions
from workers.data.index import scanning, sketch
from workers.data.index.reader import Index
from workers.spec.filters import RecordFilter

LETTERS = "abcdé  书院课第钱üа😀\u0301ñ0"


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=40, deadline=None, derandomize=True)
@given(
    texts=some.lists(some.text(LETTERS, min_size=1, max_size=30), min_size=1, max_size=12),
    place=some.integers(0, 1000),
    length=some.integers(1, 14),
)
def test_whatever_stands_in_a_text_is_found(
    tmp_path_factory: pytest.TempPathFactory, texts: list[str], place: int, length: int
) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sketch, "PORTION", 24)
        index = build(tmp_path_factory.mktemp("index"), [{"id": str(at), "text": text} for at, text in enumerate(texts)])
    chosen = texts[place % len(texts)]
    word = chosen[place % len(chosen) :][:length].lower().encode()
    rows = [row for part in scanning.matching_rows(index.folder / "words.bin", index.column("texts"), ([word.decode()], []),
            None, 0, index.sketch) for row in part]  # fmt: skip
    assert rows == [at for at, text in enumerate(texts) if word in text.lower().encode()]


def test_few_portions_are_read_for_a_rare_word(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """S6.7: what a question costs does not grow with the records that have nothing to do with it."""
    monkeypatch.setattr(sketch, "PORTION", 512)
    rows = [{"id": str(at), "text": f"the same old words again and again 一样的话 {at}"} for at in range(400)]
    rows[301]["text"] = "a unicorn 独角兽出现了"
    index = build(tmp_path, rows)
    assert index.sketch is not None
    for word in ("unicorn", "独角兽", "corn"):
        assert positions(index, RecordFilter(q=word)) == [301]
        read = sum(end - first for first, end in index.sketch.stretches([word.encode()], 0))
        assert 0 < read <= 40, word
    assert index.sketch.stretches([b"nowhere to be found"], 0) == []


def test_index_without_a_sketch_is_searched_whole(tmp_path: Path) -> None:
    index = build(tmp_path, [{"id": str(at), "text": f"text {at}"} for at in range(30)])
    for name in ("sketch.npy", "portions.npy"):
        (index.folder / name).unlink()
    assert positions(Index(index.folder), RecordFilter(q="text 17")) == [17]
