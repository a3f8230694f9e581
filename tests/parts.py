"""Optional parts that some tests need: found here, or said loudly. In CI (SHUYUAN_TESTS_STRICT=1) a missing part fails."""

import os
import shutil
from pathlib import Path

import pytest

DATA = Path(__file__).resolve().parent.parent.parent / "shared" / "data"
BROWSERS = ("chromium", "chromium-browser", "google-chrome", "chrome")


def missing(what: str, how: str) -> None:
    """Skip the test, saying what it needs; fail it where everything must be there."""
    sentence = f"NOT TESTED: this needs {what}; {how}."
    if os.environ.get("SHUYUAN_TESTS_STRICT"):
        pytest.fail(sentence)
    pytest.skip(sentence)


def browser() -> str:
    """The path of a Chromium."""
    found = next((path for name in BROWSERS if (path := shutil.which(name))), "")
    if not found:
        missing("Chromium", "install the package chromium (and fonts-noto-cjk)")
    return found


def postgres_folder() -> Path:
    """The folder with initdb and postgres."""
    folders = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"))
    found = str(folders[-1]) if folders else shutil.which("initdb")
    if not found:
        missing("a PostgreSQL server", "install the package postgresql")
    return Path(str(found)).resolve().parent


def shared_data(name: str) -> Path:
    """Real public data laid beside the checkout; never part of the project."""
    path = DATA / name
    if not path.exists():
        pytest.skip(f"NOT TESTED: the real data {name} is not beside this checkout.")
    return path
