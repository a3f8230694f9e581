"""Every sentence that importers and exporters say has its Chinese."""

import ast
from collections.abc import Iterator
from pathlib import Path

from webapp.core.catalogues import ROOT, translated

SENTENCES = {"content_error": 1, "problem": 3, "left_out": 1, "Loss": 1, "UserError": 1}
"""Calls that carry a sentence, and which argument it is."""


def sentences(path: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in SENTENCES:
            for argument in node.args[SENTENCES[node.func.id] :][:1]:
                yield from (
                    item.value for item in ast.walk(argument) if isinstance(item, ast.Constant) and isinstance(item.value, str)
                )


def test_importers_and_exporters_speak_chinese() -> None:
    folder = ROOT / "workers" / "data"
    paths = [path for pattern in ("*.py", "formats/*.py", "writers/*.py") for path in folder.glob(pattern)]
    found = {text for path in paths for text in sentences(path)}
    assert len(found) > 60
    assert sorted(found - translated()) == []
