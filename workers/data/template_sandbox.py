"""Renders chat templates that strangers wrote: jinja2's immutable sandbox with limits on loops, sizes and time.

The environment offers what Hugging Face templates expect (trim_blocks, lstrip_blocks, loop controls, tojson,
raise_exception, strftime_now, `{% generation %}`), so that rendering is the same as in transformers.
"""

import json
import re
import time
from contextvars import ContextVar
from datetime import datetime
from typing import Any

from jinja2 import TemplateError, nodes
from jinja2.environment import Template
from jinja2.exceptions import SecurityError
from jinja2.ext import Extension, loopcontrols
from jinja2.parser import Parser
from jinja2.runtime import Macro
from jinja2.sandbox import ImmutableSandboxedEnvironment
from jinja2.utils import Namespace
from jinja2.visitor import NodeTransformer

MAX_OUTPUT = 32_000_000
MAX_VALUE = 32_000_000
MAX_STEPS = 2_000_000
MAX_SECONDS = 10.0
"""Processor time of one rendering; ordinary conversations take well under a millisecond."""

_WIDTH = re.compile(r"%[-+# 0]*[\d*]|\{[^}]*:[^}]*[\d{]")
_WIDTH_METHODS = frozenset({"center", "ljust", "rjust", "zfill", "expandtabs", "format_map"})


class TemplateRefused(TemplateError):
    """The template itself called raise_exception."""


class TemplateLimit(TemplateError):
    """Rendering took too many steps, too much time or too much memory."""


class _Budget:
    """What one rendering may still spend."""

    def __init__(self) -> None:
        self.steps = 0
        self.started: float | None = None

    def spend(self) -> None:
        """The clock is first read after some thousand steps: on some systems reading it costs as much as a rendering."""
        self.steps += 1
        if self.steps > MAX_STEPS:
            raise TemplateLimit("too many steps")
        if self.steps % 4096 == 0:
            now = time.thread_time()
            self.started = now if self.started is None else self.started
            if now - self.started > MAX_SECONDS:
                raise TemplateLimit("too many steps")


_budget: ContextVar[_Budget | None] = ContextVar("template_budget", default=None)
_generation_marks: ContextVar[tuple[str, str] | None] = ContextVar("generation_marks", default=None)


class _Generation(Extension):
    """`{% generation %}…{% endgeneration %}`: what the assistant wrote; put between marks while a mask is being made."""

    tags = {"generation"}

    def parse(self, parser: Parser) -> nodes.Node:
        line = next(parser.stream).lineno
        body = parser.parse_statements(("name:endgeneration",), drop_needle=True)
        return nodes.CallBlock(self.call_method("_mark"), [], [], body).set_lineno(line)

    def _mark(self, caller: Macro) -> str:
        marks = _generation_marks.get()
        return marks[0] + caller() + marks[1] if marks else caller()


class _Instrument(NodeTransformer):
    """Counts each turn of a loop and each call of a macro, and checks the length of each `~`."""

    def visit_For(self, node: nodes.For) -> nodes.Node:
        return self._count(node)

    def visit_Macro(self, node: nodes.Macro) -> nodes.Node:
        return self._count(node)

    def _count(self, node: Any) -> nodes.Node:
        self.generic_visit(node)
        spend = nodes.Call(nodes.EnvironmentAttribute("spend"), [], [], None, None)
        node.body.insert(0, nodes.ExprStmt(spend).set_lineno(node.lineno))
        return node  # type: ignore[no-any-return]

    def visit_Concat(self, node: nodes.Concat) -> nodes.Node:
        self.generic_visit(node)
        return nodes.Call(nodes.EnvironmentAttribute("concatenate"), node.nodes, [], None, None).set_lineno(node.lineno)


class _TemplateDict:
    """`dict(...)` in a template, without the attributes of the class."""

    def __call__(self, *args: Any, **kwargs: Any) -> dict[Any, Any]:
        return dict(*args, **kwargs)


class _SafeNamespace(Namespace):
    """A namespace that stores no name with a leading underscore."""

    def __init__(*args: Any, **kwargs: Any) -> None:
        self, *rest = args
        for name in dict(*rest, **kwargs):
            _check_name(name)
        Namespace.__init__(self, *rest, **kwargs)

    def __setitem__(self, name: str, value: Any) -> None:
        _check_name(name)
        Namespace.__setitem__(self, name, value)


def _check_name(name: object) -> None:
    if isinstance(name, str) and name.startswith("_"):
        raise SecurityError(f"a template may not store the name {name!r}")


def _to_json(
    value: Any,
    ensure_ascii: bool = False,
    indent: int | None = None,
    separators: tuple[str, str] | None = None,
    sort_keys: bool = False,
) -> str:
    return json.dumps(value, ensure_ascii=ensure_ascii, indent=indent, separators=separators, sort_keys=sort_keys)


def _raise_exception(message: object) -> None:
    raise TemplateRefused(str(message))


def _strftime_now(format: str) -> str:
    return datetime.now().strftime(format)  # noqa: DTZ005  (what the templates expect)


def _limited_join(value: Any, d: str = "", attribute: Any = None) -> str:
    items = list(value)
    if attribute is not None:
        items = [item[attribute] if isinstance(item, dict) else "" for item in items]
    return Sandbox.concatenate(*[part for item in items for part in (d, item)][1:])


class Sandbox(ImmutableSandboxedEnvironment):
    """The environment of one template."""

    intercepted_binops = frozenset({"*", "**", "%"})

    def __init__(self) -> None:
        super().__init__(trim_blocks=True, lstrip_blocks=True, extensions=[_Generation, loopcontrols])
        self.filters["tojson"] = _to_json
        self.filters["join"] = _limited_join
        self.filters["format"] = _format
        for wasteful in ("center", "indent", "wordwrap"):
            self.filters[wasteful] = _bounded_width(self.filters[wasteful])
        self.globals.update(
            raise_exception=_raise_exception, strftime_now=_strftime_now, dict=_TemplateDict(), namespace=_SafeNamespace
        )
        self.globals.pop("lipsum", None)

    def template(self, source: str) -> Template:
        tree = _Instrument().visit(self.parse(source))
        return Template.from_code(self, self.compile(tree), self.make_globals(None))

    @staticmethod
    def spend() -> None:
        budget = _budget.get()
        if budget is not None:
            budget.spend()

    @staticmethod
    def concatenate(*values: Any) -> str:
        parts = [str(value) for value in values]
        if sum(map(len, parts)) > MAX_VALUE:
            raise TemplateLimit("too long a text")
        return "".join(parts)

    def call_binop(self, context: Any, operator: str, left: Any, right: Any) -> Any:
        if operator == "*":
            for sequence, factor in ((left, right), (right, left)):
                if hasattr(sequence, "__len__") and isinstance(factor, int) and len(sequence) * factor > MAX_STEPS:
                    raise TemplateLimit("too long a repetition")
        if operator == "**" and not (abs(left) <= 1e6 and abs(right) <= 64):
            raise TemplateLimit("too large a power")
        if operator == "%" and isinstance(left, str):
            _check_format(left)
        return super().call_binop(context, operator, left, right)

    def is_safe_attribute(self, obj: Any, attr: str, value: Any) -> bool:
        if isinstance(obj, str) and attr in _WIDTH_METHODS:
            return False
        return super().is_safe_attribute(obj, attr, value)

    def wrap_str_format(self, value: Any) -> Any:
        wrapped = super().wrap_str_format(value)
        if wrapped is not None:
            _check_format(value.__self__)
        return wrapped

    def call(self, context: Any, obj: Any, *args: Any, **kwargs: Any) -> Any:
        owner = getattr(obj, "__self__", None)
        name = getattr(obj, "__name__", "")
        if isinstance(owner, str):
            _check_text_method(owner, name, args)
        return super().call(context, obj, *args, **kwargs)


def _check_text_method(owner: str, name: str, args: tuple[Any, ...]) -> None:
    if name == "replace" and len(args) >= 2:
        growth = (owner.count(str(args[0])) if args[0] else len(owner) + 1) * len(str(args[1]))
        if len(owner) + growth > MAX_VALUE:
            raise TemplateLimit("too long a text")
    if name == "join" and args:
        Sandbox.concatenate(*[part for item in args[0] for part in (owner, item)])


def _check_format(text: str) -> None:
    if _WIDTH.search(text):
        raise SecurityError("widths in formats are not allowed in a template")


def _format(text: str, *args: Any, **kwargs: Any) -> str:
    _check_format(text)
    return str(text) % (kwargs or args)


def _bounded_width(function: Any) -> Any:
    """The filter, refusing numbers beyond 10,000 (a width of a billion would fill the memory)."""

    def bounded(*args: Any, **kwargs: Any) -> Any:
        if any(isinstance(value, int) and value > 10_000 for value in (*args, *kwargs.values())):
            raise TemplateLimit("too great a width")
        return function(*args, **kwargs)

    bounded.__dict__.update(function.__dict__)  # jinja's pass_environment mark
    return bounded


def render(template: Template, context: dict[str, Any], marks: tuple[str, str] | None = None) -> str:
    """Render within the limits; `marks` are put around each `{% generation %}` block."""
    budget = _budget.set(_Budget())
    marking = _generation_marks.set(marks)
    try:
        pieces: list[str] = []
        length = 0
        for piece in template.generate(**context):
            length += len(piece)
            if length > MAX_OUTPUT:
                raise TemplateLimit("too long an output")
            pieces.append(piece)
        return "".join(pieces)
    finally:
        _budget.reset(budget)
        _generation_marks.reset(marking)
