"""The shell obeys the content security policy by construction, and its parts render."""

import os
import re
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
from django.forms import CharField, CheckboxSelectMultiple, ChoiceField, Form, MultipleChoiceField
from django.template.loader import render_to_string

from webapp.core.templatetags import assets

TEMPLATES = Path(__file__).resolve().parents[2] / "templates"
SHELL = [TEMPLATES / "base.html", *sorted(TEMPLATES.glob("_*.html"))]


class PolicyReader(HTMLParser):
    """Finds what `script-src 'self'; style-src 'self'` would refuse."""

    def __init__(self) -> None:
        super().__init__()
        self.offences: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        names = dict(attrs)
        if (tag == "script" and "src" not in names) or tag == "style":
            self.offences.append(tag)
        for name, value in attrs:
            if re.match(r"on\w+$", name) or name.startswith("hx-on") or name == "style":
                self.offences.append(f"{tag} {name}")
            if (value or "").strip().lower().startswith(("javascript:", "js:")):
                self.offences.append(f"{tag} {name}={value}")


@pytest.mark.parametrize("template", SHELL, ids=lambda path: path.name)
def test_shell_has_no_inline_script_style_or_handler(template: Path) -> None:
    reader = PolicyReader()
    reader.feed(template.read_text("utf-8"))
    assert reader.offences == []


@pytest.mark.parametrize("template", SHELL, ids=lambda path: path.name)
def test_shell_text_is_translatable(template: Path) -> None:
    """Words between tags come from translate tags or variables; the brand and the language names stay as they are."""
    text = template.read_text("utf-8")
    text = re.sub(r"\{#.*?#\}|\{%.*?%\}|\{\{.*?\}\}|<svg.*?</svg>|<!doctype.*?>", "", text, flags=re.DOTALL)
    words = set(re.findall(r"[^\W\d_]{2,}", re.sub(r"<[^>]+>", " ", text)))
    assert words <= {"书院", "EN", "Shuyuan"}


def test_confirm_asks_before_it_posts() -> None:
    html = render_to_string("_confirm.html", {"url": "/x", "label": "Delete", "question": "Really?", "danger": True})
    assert 'data-confirm="Really?"' in html
    assert "data-confirm-danger" in html


def test_state_badge_names_known_and_unknown_states() -> None:
    assert "Running" in render_to_string("_state_badge.html", {"state": "running"})
    assert "odd" in render_to_string("_state_badge.html", {"state": "odd"})


def test_progress_without_value_is_indeterminate() -> None:
    assert " value=" not in render_to_string("_progress.html", {"value": None, "text": "waiting"})
    assert 'value="0.5"' in render_to_string("_progress.html", {"value": 0.5, "text": "half"})


class Example(Form):
    name = CharField(label="Name", help_text="What others see.")
    method = ChoiceField(choices=[("lora", "LoRA")])
    scopes = MultipleChoiceField(choices=[("read", "read"), ("write", "write")], widget=CheckboxSelectMultiple)


def test_field_shows_help_and_errors_and_ties_them_to_the_control() -> None:
    form = Example({"name": "", "method": "lora"})
    html = render_to_string("_field.html", {"field": form["name"]})
    assert "is-invalid" in html
    assert "What others see." in html
    assert 'aria-invalid="true"' in html
    described = re.search(r'aria-describedby="([^"]+)"', html)
    assert described
    assert all(f'id="{name}"' in html for name in described[1].split())
    assert "form-select" in render_to_string("_field.html", {"field": form["method"]})


def test_field_with_several_boxes_is_a_group_with_a_heading() -> None:
    html = render_to_string("_field.html", {"field": Example({"scopes": ["write"]})["scopes"]})
    assert re.search(r"<legend[^>]*>Scopes</legend>", html)
    assert html.count('class="form-check-input"') == 2
    assert html.count("checked") == 1


def test_pages_render_without_a_build(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(assets, "DIST", tmp_path)
    assert assets.asset("theme.js") == "/static/theme.js"
    assert assets.entry("app") == ""


def test_entry_links_styles_and_preloads_of_its_imports(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    manifest = """{"chat.js": {"file": "chat-1.js", "css": ["chat-1.css"], "imports": ["_a.js"]},
                   "_a.js": {"file": "a-1.js", "css": ["a-1.css"], "imports": ["_b.js"]}, "_b.js": {"file": "b-1.js"}}"""
    (tmp_path / ".vite").mkdir()
    (tmp_path / ".vite" / "manifest.json").write_text(manifest)
    monkeypatch.setattr(assets, "DIST", tmp_path)
    found = re.findall(r'(?:href|src)="/static/([^"]+)"', assets.entry("chat"))
    assert found == ["a-1.css", "chat-1.css", "b-1.js", "a-1.js", "chat-1.js"]


@pytest.mark.parametrize("debug", [True, False])
def test_new_build_is_noticed_in_development_and_read_once_elsewhere(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, settings: Any, debug: bool
) -> None:
    settings.DEBUG = debug
    monkeypatch.setattr(assets, "DIST", tmp_path)
    manifest = tmp_path / ".vite" / "manifest.json"
    manifest.parent.mkdir()
    manifest.write_text('{"chat.js": {"file": "chat-1.js"}}')
    os.utime(manifest, (1, 1))
    assert assets.asset("chat.js") == "/static/chat-1.js"
    manifest.write_text('{"chat.js": {"file": "chat-2.js"}}')
    assert assets.asset("chat.js") == f"/static/chat-{2 if debug else 1}.js"


def test_unknown_icon_is_drawn_as_a_mark_and_logged(caplog: pytest.LogCaptureFixture) -> None:
    assert "<circle" in assets.icon("no-such-icon")
    assert "no-such-icon" in caplog.text


def test_icon_label_is_escaped() -> None:
    assert "&lt;b&gt;" in assets.icon("home", label="<b>")


def test_every_icon_named_in_templates_exists() -> None:
    if not assets.ICON_SOURCE.is_dir():
        pytest.skip("npm packages are not installed")
    names: set[Any] = set()
    for path in TEMPLATES.rglob("*.html"):
        names |= set(re.findall(r"""\{%\s*icon\s+["']([a-z0-9-]+)["']""", path.read_text("utf-8")))
    missing = {name for name in names if not assets._read("icons.json").get(name) and not assets._icon_from_source(name)}
    assert missing == set()
