"""Template tags for what `vite build` makes: hashed files, the tags of an entry, and inlined icons.

In development (SHUYUAN_DEBUG) the manifest is read again when it changes, so a rebuilt front end needs no restart; else it is
read once, as the static files are. Without a build the pages still render, unstyled, and the log says what to run.
"""

import json
import logging
from functools import cache
from pathlib import Path
from typing import Any
from urllib.parse import urljoin

from django import template
from django.conf import settings
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString, mark_safe
from django.utils.translation import get_language

register = template.Library()
logger = logging.getLogger(__name__)
DIST = Path(settings.BASE_DIR) / "static" / "dist"
ICON_SOURCE = Path(settings.BASE_DIR) / "node_modules" / "@tabler" / "icons" / "icons"
WORDS = {"app": "", "label": "tools.", "builder": "tools."}
"""Entries that bring words for their islands, and how the names of those files begin."""
UNKNOWN_ICON = '<circle cx="12" cy="12" r="8" stroke-dasharray="3 3"/>'


@cache
def _load(path: Path, _modified: int) -> dict[str, Any]:
    content: dict[str, Any] = json.loads(path.read_text("utf-8"))
    return content


@cache
def _say_missing(path: Path) -> None:
    logger.warning("%s is missing: build the front end with `npm ci && npx vite build`.", path)


def _read(name: str) -> dict[str, Any]:
    path = DIST / name
    try:
        return _load(path, path.stat().st_mtime_ns if settings.DEBUG else 0)
    except FileNotFoundError:
        _say_missing(path)
        return {}


def _url(file: str) -> str:
    return urljoin(settings.STATIC_URL, file)


@register.simple_tag
def asset(name: str) -> str:
    """The URL of a built file by its source name: {% asset "theme.js" %}; files without a hash keep their name."""
    chunk = _read(".vite/manifest.json").get(name)
    return _url(chunk["file"] if chunk else name)


def _imports(manifest: dict[str, Any], name: str, seen: set[str]) -> list[str]:
    """Names of the chunks that an entry imports at once, depth first, each one time."""
    found = []
    for imported in manifest[name].get("imports", []):
        if imported not in seen:
            seen.add(imported)
            found += [*_imports(manifest, imported, seen), imported]
    return found


def _words(name: str) -> list[str]:
    """The module with the words of an entry in the page's language; it runs before the entry, as modules run in order."""
    language = "zh-hans" if (get_language() or "").startswith("zh") else "en"
    return [f"words/{WORDS[name]}{language}.js"] if name in WORDS else []


@register.simple_tag
def entry(name: str) -> SafeString:
    """The stylesheets, module preloads, words and module script of an entry: {% entry "chart" %}."""
    manifest = _read(".vite/manifest.json")
    key = f"{name}.js"
    if key not in manifest:
        return mark_safe("")
    imported = _imports(manifest, key, {key})
    styles = list(dict.fromkeys(css for chunk in [*imported, key] for css in manifest[chunk].get("css", [])))
    files = [manifest[chunk]["file"] for chunk in imported]
    scripts = [manifest[script]["file"] for script in (*_words(name), key) if script in manifest]
    return format_html(
        "{}{}{}",
        format_html_join("", '<link rel="stylesheet" href="{}">', ((_url(css),) for css in styles)),
        format_html_join("", '<link rel="modulepreload" href="{}">', ((_url(file),) for file in files)),
        format_html_join("", '<script type="module" src="{}"></script>', ((_url(script),) for script in scripts)),
    )


@cache
def _icon_from_source(name: str) -> str | None:
    """An icon that was named after the last build, read from the npm package while developing."""
    folder, file = ("filled", name.removesuffix("-filled")) if name.endswith("-filled") else ("outline", name)
    path = ICON_SOURCE / folder / f"{file}.svg"
    if not file.replace("-", "").isalnum() or not path.is_file():
        return None
    text = path.read_text("utf-8")
    body = text[text.index(">", text.index("<svg")) + 1 : text.rindex("</svg>")]
    return "".join(line.strip() + " " for line in body.splitlines() if 'd="M0 0h24v24H0z"' not in line)


@register.simple_tag
def icon(name: str, label: str = "") -> SafeString:
    """A Tabler icon, inlined: {% icon "home" %}. With a label it is an image for screen readers, else decoration."""
    body = _read("icons.json").get(name) or _icon_from_source(name)
    if body is None:
        logger.warning("There is no icon named %r.", name)
        body = UNKNOWN_ICON
    paint = 'fill="currentColor"' if name.endswith("-filled") else 'fill="none" stroke="currentColor" stroke-width="1.75"'
    role = format_html('role="img" aria-label="{}"', label) if label else mark_safe('aria-hidden="true"')
    return format_html(
        '<svg class="icon" viewBox="0 0 24 24" {} stroke-linecap="round" stroke-linejoin="round" focusable="false" {}>{}</svg>',
        mark_safe(paint),  # noqa: S308 - constants
        role,
        mark_safe(body),  # noqa: S308 - drawings of an npm package that the lock file pins
    )
