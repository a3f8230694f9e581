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


def scripts_of(name: str, chunks: dict[str, dict[str, object]]) -> set[str]:
    chunk = chunks[name]
    found = {str(chunk["file"])}
    for imported in chunk.get("imports", []):  # type: ignore[attr-defined]
        found |= scripts_of(imported, chunks)
    return found


@pytest.mark.parametrize("island", ["chart", "upload", "label", "builder", "chat"])
def test_page_scripts_stay_under_the_budget(island: str) -> None:
    chunks = manifest()
    files = scripts_of("app.js", chunks) | scripts_of("theme.js", chunks) | scripts_of(f"{island}.js", chunks)
    size = sum(len(gzip.compress((DIST / file).read_bytes(), 9)) for file in files)
    assert size < BUDGET, f"{island}: {size} bytes"


@pytest.mark.parametrize(
    "tools", [["dialogue", "response_rating"], ["spans", "relations"], ["regions"], ["segments", "wave", "frames"]]
)
def test_labelling_page_stays_under_the_budget_with_its_tools(tools: list[str]) -> None:
    """U1: a page loads only the tools that its questions need."""
    chunks = manifest()
    files = scripts_of("app.js", chunks) | scripts_of("theme.js", chunks) | scripts_of("label.js", chunks)
    for tool in tools:
        files |= scripts_of(f"label/{tool}.js", chunks)
    size = sum(len(gzip.compress((DIST / file).read_bytes(), 9)) for file in files)
    assert size < BUDGET, f"{tools}: {size} bytes"


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
