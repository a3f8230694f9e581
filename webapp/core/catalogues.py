"""Translations without system tools: compile the catalogues, and check that every sentence has its Chinese.

`python -m webapp.core.catalogues compile | check | missing`. Sentences are found in Python (gettext and UserError), and in
templates. A sentence counts as translated when any app's catalogue has it.
"""

import ast
import re
import sys
from collections.abc import Iterator
from pathlib import Path

from babel.messages.mofile import write_mo
from babel.messages.pofile import read_po

ROOT = Path(__file__).resolve().parent.parent.parent
FUNCTIONS = {"gettext", "gettext_lazy", "gettext_noop", "noop", "_", "pgettext"}
TRANSLATE = re.compile(r"""{%\s*(?:translate|trans)\s+("(?:[^"\\]|\\.)*"|'(?:[^'\\]|\\.)*')""")
ARGUMENT = re.compile(r"""\b_\(("(?:[^"\\]|\\.)*"|'(?:[^'\\]|\\.)*')\)""")
BLOCK = re.compile(r"{%\s*blocktrans(?:late)?\b([^%]*)%}(.*?){%\s*endblocktrans(?:late)?\s*%}", re.DOTALL)
PLURAL = re.compile(r"{%\s*plural\s*%}")
VARIABLE = re.compile(r"{{\s*(\w+)[^}]*}}")


def catalogues() -> Iterator[Path]:
    yield from sorted(ROOT.glob("webapp/**/locale/zh_Hans/LC_MESSAGES/django.po"))


def compile_all() -> None:
    for path in catalogues():
        with path.open("rb") as source, path.with_suffix(".mo").open("wb") as target:
            write_mo(target, read_po(source, locale="zh_Hans"))


def translated() -> set[str]:
    known: set[str] = set()
    for path in catalogues():
        with path.open("rb") as file:
            for message in read_po(file, locale="zh_Hans"):
                text = message.string[0] if isinstance(message.string, (tuple, list)) else message.string
                if message.id and text and not message.fuzzy:
                    known.add(message.id[0] if isinstance(message.id, (tuple, list)) else str(message.id))
    return known


def in_python(source: str) -> Iterator[str]:
    """First argument of gettext functions, second of UserError and its like."""
    for node in ast.walk(ast.parse(source)):
        if not isinstance(node, ast.Call):
            continue
        name = node.func.id if isinstance(node.func, ast.Name) else node.func.attr if isinstance(node.func, ast.Attribute) else ""
        if (name in FUNCTIONS and node.args) or (name == "ngettext" and node.args):
            yield from _constant(node.args[0])
        elif name in {"UserError", "LineError", "AnswerError"} and len(node.args) > 1:
            yield from _constant(node.args[1])


def _constant(node: ast.expr) -> Iterator[str]:
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        yield node.value


def in_template(source: str) -> Iterator[str]:
    for pattern in (TRANSLATE, ARGUMENT):
        for quoted in pattern.findall(source):
            yield ast.literal_eval(quoted)
    for options, body in BLOCK.findall(source):
        text = VARIABLE.sub(r"%(\1)s", PLURAL.split(body)[0].replace("%", "%%"))
        yield " ".join(line.strip() for line in text.strip().splitlines()) if "trimmed" in options else text


def wanted() -> dict[str, str]:
    """Every sentence, and the first place where it stands."""
    found: dict[str, str] = {}
    sources = [*ROOT.glob("webapp/**/*.py"), *ROOT.glob("workers/**/*.py")]
    for path in sorted(sources):
        for text in in_python(path.read_text(encoding="utf-8")):
            found.setdefault(text, str(path.relative_to(ROOT)))
    for path in sorted(ROOT.glob("templates/**/*.html")):
        for text in in_template(path.read_text(encoding="utf-8")):
            found.setdefault(text, str(path.relative_to(ROOT)))
    return {text: place for text, place in found.items() if re.search(r"[A-Za-z]{2}", re.sub(r"{\w+}|%\(\w+\)s", "", text))}


def missing() -> dict[str, str]:
    known = translated()
    return {text: place for text, place in wanted().items() if text not in known}


def main(command: str) -> int:
    if command == "compile":
        compile_all()
        return 0
    lacking = missing()
    for text, place in lacking.items():
        print(f"{place}: {text!r}")
    if lacking:
        print(f"{len(lacking)} sentences have no Chinese.")
    return 1 if lacking and command == "check" else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
