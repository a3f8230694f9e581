"""S8.3, S6.5: files of every format are recognised by their content; good rows come in, bad ones are told line by line."""

import gzip
import json
from pathlib import Path
from typing import Any

import pytest

from workers.data.formats.base import Problem
from workers.data.importing import Importer, Settings, preview
from workers.spec.errors import UserError

SHARED = Path(__file__).parents[4] / "shared" / "data"


def read(path: Path, content: bytes | str | None = None, **settings: Any) -> tuple[list[dict[str, Any]], list[tuple[int, str]]]:
    """Records without their guessed facets, and (line, code) of each refusal."""
    if content is not None:
        path.write_bytes(content.encode() if isinstance(content, str) else content)
    items = list(Importer(path, path.name, Settings(**settings)))
    good = [
        {name: value for name, value in item.record.items() if name != "facets"}
        for item in items
        if not isinstance(item, Problem)
    ]
    return good, [(item.line, item.error.code.removeprefix("record.")) for item in items if isinstance(item, Problem)]


def shared(relative: str) -> Path:
    path = SHARED / relative
    if not path.exists():
        pytest.skip(f"shared data {relative} is not here")
    return path


LLAMAFACTORY = {
    "alpaca_en_demo.json": ("alpaca", 999),
    "alpaca_zh_demo.json": ("alpaca", 1000),
    "identity.json": ("alpaca", 91),
    "c4_demo.jsonl": ("jsonl", 300),
    "wiki_demo.txt": ("text", 30),
    "glaive_toolcall_en_demo.json": ("sharegpt", 300),
    "glaive_toolcall_zh_demo.json": ("sharegpt", 300),
    "dpo_en_demo.json": ("sharegpt", 300),
    "dpo_zh_demo.json": ("sharegpt", 300),
    "kto_en_demo.json": ("openai", 300),
    "mllm_demo.json": ("openai", 6),
    "mllm_audio_demo.json": ("openai", 3),
    "mllm_video_demo.json": ("openai", 3),
}


@pytest.mark.parametrize("name", LLAMAFACTORY)
def test_real_demo_files_import_whole(name: str) -> None:
    """S8.3."""
    path = shared(f"llamafactory/{name}")
    format, count = LLAMAFACTORY[name]
    importer = Importer(path, name, Settings())
    items = list(importer)
    assert [item.error.message for item in items if isinstance(item, Problem)] == []
    assert (importer.format, len(items)) == (format, count)


def test_alpaca_demo_says_what_the_file_says() -> None:
    path = shared("llamafactory/alpaca_zh_demo.json")
    rows = json.loads(path.read_text())
    records, _ = read(path)
    for row, record in zip(rows, records, strict=True):
        question, answer = record["messages"]
        assert question["content"] == row["instruction"] + ("\n" + row["input"] if row["input"] else "")
        assert answer["content"] == row["output"]


def test_tool_calls_of_sharegpt_become_calls_and_answers() -> None:
    records, _ = read(shared("llamafactory/glaive_toolcall_en_demo.json"))
    first = records[0]
    assert first["tools"][0]["function"]["name"] == "search_recipes"
    call = first["messages"][3]
    assert call["tool_calls"][0]["function"]["arguments"] == {"ingredients": ["chicken", "bell peppers", "rice"]}
    assert first["messages"][4]["role"] == "tool"


def test_preferences_keep_both_answers() -> None:
    records, _ = read(shared("llamafactory/dpo_zh_demo.json"))
    assert all(record["chosen"][0]["role"] == record["rejected"][0]["role"] == "assistant" for record in records)


def test_banking77_imports_as_it_is() -> None:
    """S6.5: text and category, 77 labels, English."""
    path = shared("banking77/test.csv")
    importer = Importer(path, "test.csv", Settings())
    items = list(importer)
    assert importer.mapping == {"text": "text", "label": "category"}
    assert len(items) == 3080
    assert len({item.record["label"] for item in items}) == 77
    assert sum(item.record.get("facets", {}).get("language") == "en" for item in items) > 2900


def test_choice_tables_with_and_without_header(tmp_path: Path) -> None:
    header = ',Question,A,B,C,D,Answer\n0,水稻属于哪科,禾本科,豆科,茄科,菊科,A\n1,"逗号, 引号 ""x""",a,b,c,d,D\n'
    records, errors = read(tmp_path / "a.csv", header)
    assert [record["answer"] for record in records] == [0, 3]
    assert records[1]["text"] == '逗号, 引号 "x"'
    assert errors == []
    records, _ = read(tmp_path / "b.csv", "Closest to the Sun?,Venus,Mercury,Mars,Earth,B\nPrime?,4,6,7,8,C\n")
    assert [(record["choices"][record["answer"]]) for record in records] == ["Mercury", "7"]


SPELLINGS = {
    "jsonl": '{"question": "Q", "answer": "A"}\n{"question": "Q2", "answer": "A2"}\n',
    "json list": '[{"question": "Q", "answer": "A"},\n {"question": "Q2", "answer": "A2"}]',
    "json below a key": '{"canary": "x", "examples": [{"input": "Q", "target": "A"}, {"input": "Q2", "target": "A2"}]}',
    "json columns": '{"question": ["Q", "Q2"],\n "answer": ["A", "A2"]}',
    "comma": "question,answer\nQ,A\nQ2,A2\n",
    "semicolon, crlf": "question;answer\r\nQ;A\r\nQ2;A2\r\n",
    "tab": "instruction\toutput\nQ\tA\nQ2\tA2\n",
    "alpaca": '[{"instruction": "Q", "input": "", "output": "A"}, {"instruction": "Q2", "output": "A2"}]',
    "sharegpt": '{"conversations": [{"from": "human", "value": "Q"}, {"from": "gpt", "value": "A"}]}\n'
    '{"conversations": [{"from": "human", "value": "Q2"}, {"from": "gpt", "value": "A2"}]}\n',
    "openai": '{"messages": [{"role": "user", "content": "Q"}, {"role": "assistant", "content": "A"}]}\n'
    '{"messages": [{"role": "user", "content": [{"type": "text", "text": "Q2"}]}, {"role": "assistant", "content": "A2"}]}\n',
}


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-32"])
@pytest.mark.parametrize("spelling", SPELLINGS)
def test_one_content_in_every_spelling_and_encoding(spelling: str, encoding: str, tmp_path: Path) -> None:
    """S8.3: the file's name says nothing, its content does."""
    records, errors = read(tmp_path / "upload", SPELLINGS[spelling].encode(encoding))
    assert errors == []
    assert [[turn["content"] for turn in record["messages"]] for record in records] == [["Q", "A"], ["Q2", "A2"]]


def test_compressed_file_is_opened(tmp_path: Path) -> None:
    records, _ = read(tmp_path / "a.jsonl.gz", gzip.compress(SPELLINGS["jsonl"].encode()))
    assert len(records) == 2
    with pytest.raises(UserError, match="not whole"):
        read(tmp_path / "b.jsonl.gz", gzip.compress(SPELLINGS["jsonl"].encode() * 1000)[:-20])


def test_gb18030_is_recognised_when_unmistakable_and_offered_otherwise(tmp_path: Path) -> None:
    chinese = "text,label\n" + "我的卡丢了，请帮我补办一张,挂失\n" * 5
    records, errors = read(tmp_path / "a.csv", chinese.encode("gb18030"))
    assert (records[0]["text"], errors) == ("我的卡丢了，请帮我补办一张", [])
    latin = tmp_path / "b.jsonl"
    latin.write_bytes('{"text": "fine"}\n{"text": "caf\xe9s"}\n'.encode("latin-1"))
    shown = preview(latin)
    assert [error["line"] for error in shown["errors"]] == [2]
    assert shown["encodings_offered"] == ["gb18030"]
    assert "GB18030" in shown["errors"][0]["message"]
    assert preview(latin, encoding="gb18030")["errors"] == []


def test_bad_lines_are_told_one_by_one_and_good_ones_kept(tmp_path: Path) -> None:
    lines: list[bytes] = [
        b'{"text": "good 1"}',
        b'{"text": "broken',
        b'{"text": NaN}',
        b'{"text": "x", "n": -Infinity}',
        b'{"text": "\xff\xfe"}',
        b'{"text": "\\ud800"}',
        b'["a list"]',
        b'{"text": ""}',
        b'{"text": "deep", "x": ' + b"[" * 70 + b"]" * 70 + b"}",
        b'{"text": "very deep", "x": ' + b"[" * 100_000 + b"]" * 100_000 + b"}",
        b'{"text": "nul \\u0000"}',
        b'{"text": "long ' + b"x" * (8 << 20) + b'"}',
        b'{"text": "number", "n": ' + b"9" * 5000 + b"}",
        b"",
        b'{"text": "good 2\\\\u0000", "x": 1e5}\r',
        b'{"text": "torn',
    ]
    records, errors = read(tmp_path / "a.jsonl", b"\n".join(lines))
    assert [record["text"] for record in records] == ["good 1", "good 2\\u0000"]
    assert errors == [
        (2, "broken_json"),
        (3, "not_a_number"),
        (4, "not_a_number"),
        (5, "encoding"),
        (6, "lone_surrogate"),
        (7, "no_object"),
        (8, "no_content"),
        (9, "too_deep"),
        (10, "too_deep"),
        (11, "null_character"),
        (12, "line_too_long"),
        (13, "bad_number"),
        (16, "truncated"),
    ]


def test_first_of_two_records_with_one_id_is_kept(tmp_path: Path) -> None:
    records, errors = read(tmp_path / "a.jsonl", '{"id": 7, "text": "a"}\n{"id": "7", "text": "b"}\n{"text": "c"}\n')
    assert [(record["id"], record["text"]) for record in records] == [("7", "a"), ("3", "c")]
    assert errors == [(2, "duplicate_id")]


def test_broken_elements_of_a_json_list_do_not_hide_the_others(tmp_path: Path) -> None:
    content = '[\n{"text": "a"},\n{"text": "b" "c"},\n{"text": NaN},\n{"text": "d"},\n{"text": "\\udfff"},\n{"text": "e"}\n]\n'
    records, errors = read(tmp_path / "a.json", content)
    assert [record["text"] for record in records] == ["a", "d", "e"]
    assert errors == [(3, "broken_json"), (4, "not_a_number"), (6, "lone_surrogate")]
    records, errors = read(tmp_path / "b.json", '[{"text": "a"},\n{"text": "b')
    assert ([record["text"] for record in records], errors) == (["a"], [(2, "truncated")])
    records, errors = read(tmp_path / "c.json", b'[{"text": "a"},\n{"text": "\xff"}, {"text": "c"}]')
    assert ([record["text"] for record in records], errors) == (["a", "c"], [(2, "encoding")])


def test_json_list_larger_than_the_window_is_read_piece_by_piece(tmp_path: Path) -> None:
    rows = [{"text": f"记录 {index} " + "x" * (index % 3000)} for index in range(3000)]
    records, errors = read(tmp_path / "a.json", json.dumps(rows, ensure_ascii=False))
    assert errors == []
    assert [record["text"] for record in records] == [row["text"] for row in rows]


def test_ragged_rows_and_open_quotes_of_tables_are_told(tmp_path: Path) -> None:
    content = 'text,label\n"two\nlines",a\nx,y,z\nfine,b\n"never closed,c\nd,e\n'
    records, errors = read(tmp_path / "a.csv", content)
    assert [record["text"] for record in records] == ["two\nlines", "fine"]
    assert errors == [(4, "too_many_cells"), (6, "open_quote")]
    records, errors = read(tmp_path / "b.csv", b"text,label\nfine,a\n\xff\xff,b\nalso fine,c\n")
    assert [record["text"] for record in records] == ["fine", "also fine"]
    assert errors == [(3, "encoding")]


def test_text_files_are_cut_at_empty_lines_or_at_each_line(tmp_path: Path) -> None:
    records, _ = read(tmp_path / "a.txt", "one\r\ntwo\r\n\r\n\r\nthree\r\n")
    assert [record["text"] for record in records] == ["one\ntwo", "three"]
    records, _ = read(tmp_path / "b.txt", "one\ntwo, and a comma\nthree")
    assert [record["text"] for record in records] == ["one", "two, and a comma", "three"]


def test_mapping_names_the_columns(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    content = "Kundenfrage,Absicht,Rest\nWo ist sie?,karte,z\n"
    with pytest.raises(UserError) as caught:
        read(path, content, mapping={"text": "missing"})
    assert "Kundenfrage" in caught.value.message
    with pytest.raises(UserError, match="no field"):
        read(path, content, mapping={"colour": "Rest"})
    records, errors = read(path, content, mapping={"text": "Kundenfrage", "label": "Absicht"})
    assert records == [{"id": "1", "text": "Wo ist sie?", "label": "karte", "extra": {"Rest": "z"}}]
    assert errors == []
    turns = '{"dialog": [{"role": "user", "content": "hi"}, {"role": "assistant", "content": "ho"}]}\n'
    records, _ = read(tmp_path / "b.jsonl", turns, mapping={"messages": "dialog"})
    assert [turn["content"] for turn in records[0]["messages"]] == ["hi", "ho"]


def test_unknown_columns_are_named_and_nothing_is_lost(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    path.write_text('{"foo": "x", "bar": "y"}\n')
    shown = preview(path)
    assert "foo, bar" in shown["errors"][0]["message"]
    records, _ = read(tmp_path / "b.jsonl", '{"text": "x", "bar": {"y": [1, null]}, "source": "web"}\n')
    assert records[0]["extra"] == {"bar": {"y": [1, None]}}


def test_chosen_facets_are_put_on_every_record(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    path.write_text('{"text": "The card is lost.", "language": "xx"}\n{"text": "Where is it?"}\n{"text": "卡丢了"}\n')
    items = list(Importer(path, "a.jsonl", Settings(licence="CC0", domain="bank")))
    facets = [item.record["facets"] for item in items if not isinstance(item, Problem)]
    assert [facet["language"] for facet in facets] == ["xx", "en", "zh"]
    assert {(facet["licence"], facet["domain"]) for facet in facets} == {("CC0", "bank")}


def test_openai_spellings_of_calls_weights_and_preferences(tmp_path: Path) -> None:
    rows = [
        {
            "messages": [
                {"role": "developer", "content": "s"},
                {"role": "user", "content": "q"},
                {"role": "assistant", "content": None, "weight": 0,
                 "tool_calls": [{"id": "c1", "type": "function", "function": {"name": "f", "arguments": '{"a": 1}'}}]},
                {"role": "tool", "tool_call_id": "c1", "content": "r"},
            ],
            "tools": [{"type": "function", "function": {"name": "f"}}],
        },
        {
            "input": {"messages": [{"role": "user", "content": "q"}]},
            "preferred_output": [{"role": "assistant", "content": "good"}],
            "non_preferred_output": [{"role": "assistant", "content": "bad"}],
        },
        {"messages": [{"role": "narrator", "content": "q"}]},
    ]  # fmt: skip
    records, errors = read(tmp_path / "a.jsonl", "\n".join(map(json.dumps, rows)) + "\n")
    system, _, call, _ = records[0]["messages"]
    assert system["role"] == "system"
    assert call["tool_calls"][0] == {"type": "function", "id": "c1", "function": {"name": "f", "arguments": {"a": 1}}}
    assert call["train"] is False
    assert records[1]["rejected"] == [{"role": "assistant", "content": "bad"}]
    assert errors == [(3, "bad_role")]


@pytest.mark.parametrize("content", ["", " \n\n", "\ufeff"])
def test_empty_file_is_refused(content: str, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="empty"):
        read(tmp_path / "a.jsonl", content)


def test_preview_reads_only_the_head_and_says_what_it_sees(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    with path.open("w") as file:
        for index in range(200_000):
            file.write(f'{{"text": "t{index}", "category": "c"}}\n')
    shown = preview(path, limit=3)
    assert [record["text"] for record in shown["records"]] == ["t0", "t1", "t2"]
    assert [record["source_line"] for record in shown["records"]] == [1, 2, 3]
    assert (shown["format"], shown["columns"], shown["whole"]) == ("jsonl", ["text", "category"], False)
    assert shown["mapping"] == {"text": "text", "label": "category"}
