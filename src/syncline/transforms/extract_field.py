"""ExtractField: replace the key or value by one of its fields."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from syncline.data import Schema, Type
from syncline.errors import ConfigError, DataError
from syncline.options import Importance, any_case, option
from syncline.transforms.sides import R, SidedTransform, both_sides, get, java_name, replace_null_option


@dataclass(frozen=True, kw_only=True)
class ExtractFieldConfig:
    field: str = option("field", "Name of the field, or its path in syntax V2.", importance=Importance.MEDIUM)
    syntax: str = option(
        "field.syntax.version",
        "V1 takes the name as it is; V2 reads dots as steps into nested structs and maps (KIP-821).",
        default="V1",
        importance=Importance.HIGH,
        check=any_case(["V1", "V2"]),
    )
    replace_null: bool = replace_null_option()


class UnknownField(ValueError):
    """The record has no such field."""


@both_sides("ExtractField")
class ExtractField(SidedTransform[R, ExtractFieldConfig]):
    """The new schema is the field's own; null stays null with that schema."""

    settings = ExtractFieldConfig
    purpose = "field extraction"

    def check(self) -> None:
        path = self.config.field
        self._path = parse_path(path) if self.config.syntax.upper() == "V2" else (path,)

    def apply(self, record: R) -> R | None:
        schema, value = self.side.schema(record), self.side.value(record)
        if schema is None:
            found = None if value is None else self.without_schema(record, self.map_of(value))
            return self.side.changed(record, None, found)
        if value is not None:
            self.struct_of(schema, value)
        return self.side.changed(record, *self.with_schema(record, schema, value))

    def with_schema(self, record: R, schema: Schema, value: Any) -> tuple[Schema | None, Any]:
        found_schema, found = schema, value
        for step in self._path:
            field = found_schema.field(step) if found_schema.type is Type.STRUCT else None
            if field is None:
                raise UnknownField(f"Unknown field: {self.config.field}")
            if found is not None:
                found = get(found_schema, found, step, replace_null=self.config.replace_null)
            found_schema = field.schema
        return found_schema, found

    def without_schema(self, record: R, value: Any) -> Any:
        found = value
        for step in self._path:
            if found is None:
                return None
            if not isinstance(found, dict):
                raise DataError(
                    f"Only Map objects supported in absence of schema for [{self.purpose}], found: {java_name(found)}"
                )
            found = found.get(step)
        return found


def parse_path(path: str) -> tuple[str, ...]:
    """The steps of a V2 path: dots separate; a step in backticks may hold dots (connect.md 7).

    A backtick inside such a step, where it would otherwise end it, is escaped by a backslash.
    Raises ConfigError when a backtick is never closed.
    """
    steps: list[str] = []
    rest = path
    while True:
        if rest.startswith("`"):
            step, rest = _quoted(path, rest[1:])
        else:
            step, dot, after = rest.partition(".")
            rest = dot + after
        steps.append(step)
        if not rest:
            return tuple(steps)
        rest = rest[1:]


def _quoted(path: str, text: str) -> tuple[str, str]:
    """The step that `text` starts with, up to its closing backtick, and what follows from the dot on."""
    for position, letter in enumerate(text):
        closes = letter == "`" and text[position + 1 : position + 2] in ("", ".")
        if closes and text[position - 1 : position] != "\\":
            return text[:position].replace("\\`", "`"), text[position + 1 :]
    raise ConfigError({"field": [f"Incomplete backtick pair in path: [{path}]"]})


def steps_text(steps: Sequence[str]) -> str:
    """A path as a user writes it."""
    return ".".join(f"`{step}`" if "." in step else step for step in steps)
