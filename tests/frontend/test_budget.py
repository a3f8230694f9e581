"""What a page loads: scripts stay small, everything is precompressed, the lock file names no host (U1)."""

import gzip
import json
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
DIST = ROOT / "static" / "dist"
BUDGET = 150_000


def manifest() -> dict[str, dict[str, object]]:
    if not (DIST / ".vite" / "manifest.json").is_file():
        pytest.skip("the front end is not built: npm ci && npx vite build")
    content: dict[str, dict[str, object]] = json.loads((DIST / ".vite" / "manifest.json").read_text())
    return content


def every_tool() -> list[str]:
    """Modules of all kinds of questions, as label/widgets.js names them; sound brings its wave, when there is sound."""
    widgets = (ROOT / "static" / "src" / "label" / "widgets.js").read_text("utf-8")
    return [*re.findall(r'import\("\./(\w+)\.js"\)', widgets), "wave"]


def size_of(*entries: str) -> int:
    """Bytes over the line, compressed, of everything that the entries load at once."""
    chunks = manifest()
    files = set().union(*(scripts_of(f"{entry}.js", chunks) for entry in entries))
    return sum(len(gzip.compress((DIST / file).read_bytes(), 9)) for file in files)


def page_scripts(island: str) -> list[str]:
    """What a page with an island loads, in the language with the longer words."""
    tools = ["words/tools.zh-hans"] if island in {"label", "builder"} else []
    return ["app", "theme", "words/zh-hans", *tools, island]


def scripts_of(name: str, chunks: dict[str, dict[str, object]]) -> set[str]:
    chunk = chunks[name]
    found = {str(chunk["file"])}
    for imported in chunk.get("imports", []):  # type: ignore[attr-defined]
        found |= scripts_of(imported, chunks)
    return found


@pytest.mark.parametrize("island", ["chart", "upload", "label", "builder", "chat"])
def test_page_scripts_stay_under_the_budget(island: str) -> None:
    assert size_of(*page_scripts(island)) < BUDGET


def test_labelling_page_with_every_tool_stays_under_the_budget() -> None:
    """U1: a page loads only the tools that its questions need, and may need all of them."""
    tools = every_tool()
    assert {"regions", "spans", "relations", "dialogue", "segments"} <= set(tools)
    assert size_of(*page_scripts("label"), *(f"label/{tool}" for tool in tools)) < BUDGET


def test_page_loads_the_words_of_one_language_only() -> None:
    chunks = manifest()
    for entry in (*page_scripts("label"), *(f"label/{tool}" for tool in every_tool())):
        if not entry.startswith("words/"):
            assert not any(name.startswith("words/") for name in chunks[f"{entry}.js"].get("imports", [])), entry  # type: ignore[attr-defined]


def test_text_files_are_precompressed() -> None:
    manifest()
    for path in DIST.iterdir():
        if path.suffix in {".js", ".css"} and path.stat().st_size >= 1024:
            assert gzip.decompress(path.with_name(path.name + ".gz").read_bytes()) == path.read_bytes(), path.name


def test_pages_never_load_from_elsewhere() -> None:
    manifest()
    for path in DIST.glob("*.css"):
        assert re.findall(r"(?:url\(|@import\s+)[\"']?(?:https?:)?//", path.read_text("utf-8")) == [], path.name


def test_lock_file_names_no_host() -> None:
    assert '"resolved"' not in (ROOT / "package-lock.json").read_text()


def test_dependencies_are_pinned_exactly() -> None:
    package = json.loads((ROOT / "package.json").read_text())
    for name, version in (package["dependencies"] | package["devDependencies"]).items():
        assert re.fullmatch(r"\d+\.\d+\.\d+", version), f"{name} {version}"
