"""The words of an HTML page, as lines: scripts, hidden parts and, on request, navigation and lists of links left out."""

import re
from typing import Any

from lxml import etree, html

SILENT = {
    "script", "style", "noscript", "template", "svg", "math", "canvas", "iframe", "object", "embed", "audio", "video", "head",
    "select", "button", "input", "textarea", "dialog",
}  # fmt: skip
FURNITURE = {"nav", "footer", "aside", "form", "menu"}
BLOCKS = {
    "p", "div", "section", "article", "main", "header", "footer", "aside", "nav", "ul", "ol", "dl", "dt", "dd", "table", "tr",
    "blockquote", "pre", "figure", "figcaption", "h1", "h2", "h3", "h4", "h5", "h6", "hr", "address", "details", "summary",
    "fieldset", "form", "body", "html", "thead", "tbody", "caption",
}  # fmt: skip
_SPACES = re.compile(r"[ \t\r\n\f\v\u00a0]+")
_HIDDEN_STYLE = re.compile(r"display\s*:\s*none|visibility\s*:\s*hidden", re.IGNORECASE)
_TAG = re.compile(r"<(/?)([A-Za-z][A-Za-z0-9]{0,11})\b[^<>]{0,2000}>")
_COMMENTS = r"(?:<!--.{0,2000}?-->\s*)*"
_BEGINNING = re.compile(rf"\s*(?:<\?xml[^>]{{0,200}}>\s*)?{_COMMENTS}<(?:!doctype\s+html|html|head|body)\b", re.I | re.S)
_MAIN_FROM = 200
_LINKS_FROM = 3


def is_html(text: str) -> bool:
    """A text that is an HTML document, or begins with a tag and has at least five, one in 300 characters, with closing ones."""
    if _BEGINNING.match(text):
        return True
    if not text.lstrip().startswith("<"):
        return False
    found = [tag.lower() for closing, tag in _TAG.findall(text[:20_000]) if closing]
    known = sum(tag in BLOCKS or tag in {"a", "span", "b", "i", "em", "strong"} for tag in found)
    return known >= 5 and known >= len(text[:20_000]) / 300


def has_tags(text: str) -> bool:
    return _TAG.search(text) is not None


def html_to_text(source: str | bytes, *, main_text: bool) -> str:
    """Blocks on lines of their own, list items with a dash, cells with a tab between, preformatted text as it is."""
    if not source.strip():
        return ""
    parser = html.HTMLParser(remove_comments=True, remove_pis=True, no_network=True, huge_tree=False, recover=True)
    data = source.encode("utf-8", "replace") if isinstance(source, str) else source
    if isinstance(source, str):
        parser = html.HTMLParser(
            remove_comments=True, remove_pis=True, no_network=True, huge_tree=False, recover=True, encoding="utf-8"
        )
    try:
        root = html.document_fromstring(data, parser=parser)
    except (etree.ParserError, ValueError):
        return ""
    _prune(root, main_text=main_text)
    if main_text:
        root = _main_part(root)
    return _written(root)


def _prune(root: Any, *, main_text: bool) -> None:
    for element in list(root.iter()):
        name = element.tag if isinstance(element.tag, str) else ""
        gone = not name or name in SILENT or (main_text and name in FURNITURE) or _hidden(element)
        gone = gone or (main_text and name in {"ul", "ol", "div", "p", "section", "table"} and _only_links(element))
        if gone and element.getparent() is not None:
            element.drop_tree()


def _hidden(element: Any) -> bool:
    return (
        element.get("hidden") is not None
        or element.get("aria-hidden") == "true"
        or bool(_HIDDEN_STYLE.search(element.get("style", "")))
    )


def _only_links(element: Any) -> bool:
    """At least three links that make up two thirds of what the element says: a menu, tags, related pages."""
    links = element.findall(".//a")
    if len(links) < _LINKS_FROM:
        return False
    linked = sum(len("".join(link.itertext()).strip()) for link in links)
    said = sum(len(text.strip()) for text in element.itertext())
    return said > 0 and linked >= 2 / 3 * said


def _main_part(root: Any) -> Any:
    """<main> or <article> where a page has one with something in it."""
    for name in ("main", "article"):
        for element in root.iter(name):
            if sum(len(text.strip()) for text in element.itertext()) >= _MAIN_FROM:
                return element
    return root


def _written(root: Any) -> str:
    pieces: list[str] = []
    preformatted = 0
    for event, element in etree.iterwalk(root, events=("start", "end")):
        name = element.tag
        if event == "start":
            if name in BLOCKS:
                pieces.append("\n\n" if name in {"p", "table", "pre", "blockquote"} or name[0] == "h" else "\n")
            if name == "li":
                pieces.append("\n- ")
            elif name == "br":
                pieces.append("\n")
            preformatted += name == "pre"
            if element.text:
                pieces.append(element.text if preformatted else _SPACES.sub(" ", element.text))
            continue
        preformatted -= name == "pre"
        if name in {"td", "th"}:
            pieces.append("\t")
        elif name in BLOCKS:
            pieces.append("\n\n" if name in {"p", "table", "pre", "blockquote"} or name[0] == "h" else "\n")
        if element.tail and element is not root:
            pieces.append(element.tail if preformatted else _SPACES.sub(" ", element.tail))
    lines = ["".join(pieces)]
    lines = [line.strip(" \t") if not line.startswith(("  ", "\t")) else line.rstrip() for line in lines[0].split("\n")]
    return re.sub(r"\n{3,}", "\n\n", "\n".join(lines)).strip()
