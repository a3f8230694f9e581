"""The commands that README and docs tell: each exists and takes the arguments shown. (End-to-end tests run them for real.)"""

import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from django.core.management import get_commands, load_command_class

ROOT = Path(__file__).resolve().parent.parent
BLOCK = re.compile(r"```sh\n(.*?)```", re.DOTALL)


def commands() -> Iterator[tuple[str, list[str]]]:
    for path in [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]:
        for block in BLOCK.findall(path.read_text(encoding="utf-8")):
            for line in block.splitlines():
                words = shlex.split(line.split(" #")[0].split("&&")[0], comments=True)
                while words and (words[0] == "export" or ("=" in words[0] and not words[0].startswith("-"))):
                    words = words[1:]
                if words:
                    yield path.name, words


def test_docs_show_commands() -> None:
    assert len(list(commands())) >= 6


@pytest.mark.parametrize(("where", "words"), [pytest.param(*item, id=" ".join(item[1])[:60]) for item in commands()])
def test_command_in_the_docs_exists(where: str, words: list[str]) -> None:
    program = Path(words[0]).name
    if program == "make":
        targets = [word for word in words[1:] if "=" not in word]
        known = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
        assert set(targets) <= known, where
    elif "manage.py" in words:
        name, *arguments = words[words.index("manage.py") + 1 :]
        parser = load_command_class(get_commands()[name], name).create_parser("manage.py", name)
        parser.parse_args(arguments)
    elif words[1:2] == ["-m"]:
        found = subprocess.run([sys.executable, "-c", f"import {words[2]}"], cwd=ROOT, capture_output=True, check=False)
        assert found.returncode == 0, where
    elif program in {"npm", "npx", "node", "git", "cd", "curl", "sqlite3"}:
        return
    else:
        assert program in {"python", "python3", "pip"}, f"{where}: {words}"
