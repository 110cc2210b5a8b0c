"""What a JSON schema allows, in words, and a value that it allows; the schemas are those of an OpenAPI document."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from gitops_serving.fast.rows import EXACT

KINDS = {"integer": "whole number", "boolean": "true or false"}
ANY: dict[str, Any] = {"boolean": True, "string": "any"}
MOMENT = "2026-01-31T12:00:00"
PLACE = "#/components/schemas/"

JsonSchema = dict[str, Any]


@dataclass(frozen=True)
class Field:
    """A field of an object: what it may hold, the values if they are listed, what it means, and the `form` it has."""

    name: str
    kind: str
    values: list[str]
    meaning: str
    form: str


class Forms:
    """The forms of a document, to which others refer by their names."""

    def __init__(self, named: dict[str, JsonSchema]) -> None:
        self.named = named

    def fields(self, form: JsonSchema) -> list[Field]:
        """The fields of an object."""
        form = self._resolved(form)
        optional = form.get("properties", {}).keys() - form.get("required", [])
        return [
            Field(
                name=name,
                kind=f"{self.kind(each)}, or left out" if name in optional else self.kind(each),
                values=self._values(each),
                meaning=each.get("description", ""),
                form=next(self.used(each), ""),
            )
            for name, each in form.get("properties", {}).items()
        ]

    def used(self, form: JsonSchema) -> Iterator[str]:
        """The names of the forms that a form refers to, and those refer to."""
        if name := _name(form):
            yield name
        form = self._resolved(form)
        for part in (*form.get("properties", {}).values(), *_parts(form)):
            yield from self.used(part)

    def kind(self, form: JsonSchema) -> str:
        """What a value may be, in words; where values are listed, only that they are."""
        if name := _name(form):
            return name
        if choices := form.get("anyOf"):
            return ", or ".join(self.kind(each) for each in choices)
        if "enum" in form or "const" in form:
            return "one of" if "enum" in form else "always"
        return self._kind_of_type(form)

    def example(self, form: JsonSchema) -> Any:
        """A value: the first example that a form has, or else the simplest that it allows."""
        form = self._resolved(form)
        if known := form.get("examples") or form.get("enum"):
            return known[0]
        if choices := form.get("anyOf"):
            # What may be missing, and has no example, is missing in this one.
            return None if {"type": "null"} in choices else self.example(choices[0])
        return self._simplest(form)

    def _kind_of_type(self, form: JsonSchema) -> str:
        match form.get("type"):
            case "array":
                return f"list{_range(form, 'minItems', 'maxItems', ' of')}, each: {self.kind(form.get('items', {}))}"
            case "object" if each := form.get("additionalProperties"):
                return f"by name: {self.kind(each)}"
            case "string" if form.get("format") == "date-time":
                return "date and time (ISO 8601)"
            case "string":
                length = _range(form, "minLength", "maxLength", ",")
                return f"text{length} characters" if length else "text"
            case other:
                return f"{KINDS.get(str(other), other or 'anything')}{_range(form, 'minimum', 'maximum', ',')}"

    def _simplest(self, form: JsonSchema) -> Any:
        match form.get("type"):
            case "object":
                return {name: self.example(each) for name, each in form.get("properties", {}).items()}
            case "array":
                return [self.example(form.get("items", {}))]
            case "integer" | "number" as kind:
                low, high = form.get("minimum", 0), form.get("maximum", 0)
                value = low if low > 0 else min(high, 0)
                return int(value) if kind == "integer" else float(value)
            case "string" if form.get("format") == "date-time":
                return MOMENT
            case other:
                return form.get("const", ANY.get(str(other)))

    def _values(self, form: JsonSchema) -> list[str]:
        listed = [form["const"]] if "const" in form else form.get("enum", [])
        return [str(each) for each in listed] + [value for part in _parts(form) for value in self._values(part)]

    def _resolved(self, form: JsonSchema) -> JsonSchema:
        return self.named[name] if (name := _name(form)) else form


def _name(form: JsonSchema) -> str:
    return str(form.get("$ref", "")).removeprefix(PLACE)


def _parts(form: JsonSchema) -> list[JsonSchema]:
    """What an alternative or a list is made of."""
    return [*form.get("anyOf", ()), *([form["items"]] if "items" in form else ())]


def _range(form: JsonSchema, lowest: str, highest: str, before: str) -> str:
    """Bounds in words; those that only say what JSON holds exactly are none."""
    low, high = (None if abs(form.get(name, EXACT)) >= EXACT else form[name] for name in (lowest, highest))
    match low, high:
        case None, None:
            return ""
        case None, _:
            return f"{before} at most {high:.15g}"
        case _, None:
            return f"{before} at least {low:.15g}"
        case _:
            return f"{before} {low:.15g} to {high:.15g}"
