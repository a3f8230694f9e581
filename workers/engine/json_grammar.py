"""JSON schemas as grammars (EBNF) that leave at most one space after a colon or a comma.

The engine's own schema compiler allows white space without end between any two tokens, and a small model gets lost in
it. Keywords that this translation does not know make it decline; then the engine's compiler takes over.
Objects hold the listed properties in the listed order and no others, as OpenAI's strict mode has it.
"""

import json
from collections.abc import Mapping, Sequence
from typing import Any

BASE_RULES = r"""
string ::= "\"" character* "\""
character ::= [^"\\\x00-\x1f] | "\\" (["\\/bfnrt] | "u" [0-9a-fA-F] [0-9a-fA-F] [0-9a-fA-F] [0-9a-fA-F])
integer ::= "-"? ("0" | [1-9] [0-9]*)
number ::= integer ("." [0-9]+)? ([eE] [+-]? [0-9]+)?
boolean ::= "true" | "false"
null ::= "null"
comma ::= "," " "?
colon ::= ":" " "?
member ::= string colon value
object ::= "{" (member (comma member)*)? "}"
array ::= "[" (value (comma value)*)? "]"
value ::= object | array | string | number | boolean | null
"""
ANNOTATIONS = {"title", "description", "default", "examples", "deprecated", "$schema", "$id", "$defs", "definitions", "$comment"}
KEYWORDS = {
    "object": {"properties", "required", "additionalProperties"},
    "array": {"items", "minItems", "maxItems"},
    "string": {"minLength", "maxLength"},
}


class Untranslatable(Exception):
    """The schema says something that this translation does not know."""


def grammar_of(schema: Mapping[str, Any]) -> str:
    """The EBNF text whose `root` matches the schema; raises Untranslatable."""
    translation = _Translation(schema)
    root = translation.expression(schema)
    named = "".join(f"{name} ::= {body}\n" for name, body in translation.rules.items())
    return f"root ::= {root}\n{named}{BASE_RULES}"


class _Translation:
    def __init__(self, document: Mapping[str, Any]) -> None:
        self._document = document
        self._names: dict[str, str] = {}
        self.rules: dict[str, str] = {}

    def expression(self, schema: Any) -> str:
        if schema is True or schema == {}:
            return "value"
        if not isinstance(schema, Mapping):
            raise Untranslatable
        said = {key: value for key, value in schema.items() if key not in ANNOTATIONS}
        if not said:
            return "value"
        for keyword in ("$ref", "enum", "const", "anyOf", "oneOf"):
            if keyword in said:
                if set(said) - {keyword, "type"}:
                    raise Untranslatable
                return self._special(keyword, said[keyword])
        return self._typed(said)

    def _special(self, keyword: str, value: Any) -> str:
        if keyword == "$ref":
            return self._reference(value)
        if keyword == "const":
            return literal(value)
        if not isinstance(value, Sequence) or isinstance(value, str) or not value:
            raise Untranslatable
        options = map(literal, value) if keyword == "enum" else map(self.expression, value)
        return f"({' | '.join(options)})"

    def _reference(self, pointer: Any) -> str:
        if not isinstance(pointer, str) or not pointer.startswith("#"):
            raise Untranslatable
        if pointer not in self._names:
            # Named before it is translated, for it may refer to itself.
            name = self._names[pointer] = f"named-{len(self._names)}"
            self.rules[name] = self.expression(self._resolve(pointer))
        return self._names[pointer]

    def _resolve(self, pointer: str) -> Any:
        found: Any = self._document
        for part in pointer.removeprefix("#").strip("/").split("/") if pointer != "#" else []:
            if not isinstance(found, Mapping) or part not in found:
                raise Untranslatable
            found = found[part]
        return found

    def _typed(self, schema: Mapping[str, Any]) -> str:
        kind = schema.get("type", "object" if "properties" in schema else None)
        if isinstance(kind, list):
            rest = {key: value for key, value in schema.items() if key != "type"}
            return f"({' | '.join(self._typed({**rest, 'type': one}) for one in kind)})"
        if kind not in ("object", "array", "string", "number", "integer", "boolean", "null"):
            raise Untranslatable
        if set(schema) - {"type"} - KEYWORDS.get(kind, set()):
            raise Untranslatable
        match kind:
            case "object":
                return self._object(schema)
            case "array":
                return self._array(schema)
            case "string" if len(schema) > 1:
                return f'("\\"" character{_bounds(schema, "minLength", "maxLength")} "\\"")'
        return str(kind)

    def _object(self, schema: Mapping[str, Any]) -> str:
        properties, others = schema.get("properties") or {}, schema.get("additionalProperties", True)
        if not isinstance(properties, Mapping) or set(schema.get("required", [])) - set(properties):
            raise Untranslatable
        if not properties:
            if others is False:
                return '"{}"'
            member = f"(string colon {self.expression(others)})"
            return f'("{{" ({member} (comma {member})*)? "}}")'
        members = [
            (f"{literal(name)} colon {self.expression(value)}", name in schema.get("required", []))
            for name, value in properties.items()
        ]
        return f'("{{" {_in_order(members)} "}}")'

    def _array(self, schema: Mapping[str, Any]) -> str:
        item = self.expression(schema.get("items", True))
        least, most = schema.get("minItems", 0), schema.get("maxItems")
        if most == 0:
            return '"[]"'
        more = f"{{{max(least - 1, 0)},{'' if most is None else most - 1}}}"
        filled = f"{item} (comma {item}){more}"
        return f'("[" {filled} "]")' if least else f'("[" ({filled})? "]")'


def _bounds(schema: Mapping[str, Any], least: str, most: str) -> str:
    return f"{{{schema.get(least, 0)},{schema.get(most, '')}}}"


def _in_order(members: list[tuple[str, bool]]) -> str:
    """Members in order with commas between those that are there; the others are optional."""
    if not members:
        return '""'
    (first, required), rest = members[0], members[1:]
    tail = "".join(f" (comma {member})" if needed else f" (comma {member})?" for member, needed in rest)
    if required:
        return f"{first}{tail}"
    return f"({first}{tail} | {_in_order(rest)})"


def literal(value: Any) -> str:
    """A JSON value as a quoted terminal."""
    return json.dumps(json.dumps(value, ensure_ascii=False), ensure_ascii=False)
