"""TimestampConverter: between text, unix time and Connect's date types."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from syncline.data import (
    DATE,
    TIME,
    TIMESTAMP,
    Schema,
    Type,
    date_schema,
    primitive,
    time_schema,
    timestamp_schema,
)
from syncline.data.logical import DAY_MS
from syncline.errors import ConfigError, ConnectError, DataError
from syncline.options import Importance, one_of, option
from syncline.transforms.java_date_reading import parse_date
from syncline.transforms.java_dates import format_date, parts_of
from syncline.transforms.sides import (
    R,
    SidedTransform,
    both_sides,
    build,
    get,
    java_name,
    rebuilt,
    replace_null_option,
)

_TARGETS: Final = ("string", "unix", "Date", "Time", "Timestamp")
_UNITS_PER_SECOND: Final[Mapping[str, int]] = {
    "seconds": 1,
    "milliseconds": 1_000,
    "microseconds": 1_000_000,
    "nanoseconds": 1_000_000_000,
}


@dataclass(frozen=True, kw_only=True)
class TimestampConverterConfig:
    field: str = option("field", "The field; empty for the whole key or value.", default="", importance=Importance.HIGH)
    target: str = option(
        "target.type",
        "One of " + ", ".join(_TARGETS) + ".",
        importance=Importance.HIGH,
        check=one_of(_TARGETS),
    )
    format: str = option(
        "format",
        "Letters of Java's SimpleDateFormat, UTC; needed to write text and to read it.",
        default="",
        importance=Importance.MEDIUM,
    )
    precision: str = option(
        "unix.precision",
        "Unit of unix time: " + ", ".join(_UNITS_PER_SECOND) + ".",
        default="milliseconds",
        importance=Importance.LOW,
        check=one_of(_UNITS_PER_SECOND),
    )
    replace_null: bool = replace_null_option()


class NotADate(DataError):
    """A text that does not fit the pattern, and where."""

    java_class = "java.text.ParseException"


@both_sides("TimestampConverter")
class TimestampConverter(SidedTransform[R, TimestampConverterConfig]):
    """Everything goes through milliseconds since the epoch; what does not fit a whole unit is cut."""

    settings = TimestampConverterConfig
    purpose = "converting timestamp formats"

    def check(self) -> None:
        if self.config.target == "string" and not self.config.format.strip():
            raise ConfigError(
                {"format": ["TimestampConverter requires format option to be specified when using string timestamps"]}
            )
        try:
            parts_of(self.config.format)
        except ValueError as exc:
            raise ConfigError(
                {
                    "format": [
                        "TimestampConverter requires a SimpleDateFormat-compatible pattern for string timestamps: "
                        f"{self.config.format} ({exc})"
                    ]
                }
            ) from None

    def apply(self, record: R) -> R | None:
        schema, value = self.side.schema(record), self.side.value(record)
        if schema is None:
            return self.side.changed(record, None, self.without_schema(record, value))
        return self.side.changed(record, *self.with_schema(record, schema, value))

    def with_schema(self, record: R, schema: Schema, value: Any) -> tuple[Schema | None, Any]:
        changed = self.schema_for(schema, self._changed)
        if not self.config.field:
            return changed, self._convert(schema, value)
        return changed, None if value is None else self._changed_struct(schema, changed, self.struct_of(schema, value))

    def _changed(self, schema: Schema) -> Schema:
        if not self.config.field:
            return self._target_schema(schema)
        if schema.type is not Type.STRUCT:
            raise DataError(f"Cannot list fields on non-struct type: {schema.type}")
        fields = [
            (
                field.name,
                self._target_schema(field.schema) if field.name == self.config.field else field.schema,
            )
            for field in schema.fields
        ]
        changed = rebuilt(schema, fields, optional=schema.optional)
        if schema.default is None:
            return changed
        return changed.replace(default=self._changed_struct(schema, changed, schema.default))

    def _changed_struct(self, schema: Schema, changed: Schema, value: Any) -> Any:
        values = {}
        for field in schema.fields:
            found = get(schema, value, field.name, replace_null=self.config.replace_null)
            values[field.name] = self._convert(field.schema, found) if field.name == self.config.field else found
        return build(changed, values)

    def _target_schema(self, schema: Schema) -> Schema:
        if schema.name not in _MILLISECONDS and schema.type not in (Type.STRING, Type.INT64):
            raise ConnectError(f"Schema {schema} does not correspond to a known timestamp type format")
        return _SCHEMAS[self.config.target](schema.optional)

    def without_schema(self, record: R, value: Any) -> Any:
        if not self.config.field:
            return self._convert(None, value)
        if value is None:
            return None
        return {**self.map_of(value), self.config.field: self._convert(None, value.get(self.config.field))}

    def _convert(self, schema: Schema | None, value: Any) -> Any:
        if value is None:
            return None
        milliseconds = self._read(schema, value)
        match self.config.target:
            case "string":
                return format_date(milliseconds, self.config.format)
            case "unix":
                return _scaled(milliseconds, 1_000, _UNITS_PER_SECOND[self.config.precision])
            case "Date":
                # Without a schema nothing would tell days from milliseconds.
                days = milliseconds // DAY_MS
                return days * DAY_MS if schema is None else days
            case "Time":
                return milliseconds % DAY_MS
            case _:
                return milliseconds

    def _read(self, schema: Schema | None, value: Any) -> int:
        name = None if schema is None else schema.name
        if name in _MILLISECONDS:
            return _MILLISECONDS[name] * int(value)
        if isinstance(value, str):
            return self._parsed(value)
        if isinstance(value, int) and not isinstance(value, bool):
            return _scaled(value, _UNITS_PER_SECOND[self.config.precision], 1_000)
        raise DataError(f"TimestampConverter does not support {java_name(value)} objects as timestamps")

    def _parsed(self, text: str) -> int:
        if not self.config.format:
            raise DataError("text cannot be read as a timestamp without the option 'format'")
        try:
            return parse_date(text, self.config.format)
        except ValueError as exc:
            raise DataError(
                f"Could not parse timestamp: value ({text}) does not match pattern ({self.config.format})"
            ) from NotADate(str(exc))


def _scaled(number: int, units: int, wanted: int) -> int:
    """`number` of `units` a second as `wanted` a second; precision lost is cut towards zero, as in Java."""
    if wanted >= units:
        return number * (wanted // units)
    factor = units // wanted
    return -(-number // factor) if number < 0 else number // factor


_MILLISECONDS: Final[Mapping[str | None, int]] = {DATE: DAY_MS, TIME: 1, TIMESTAMP: 1}
_SCHEMAS: Final[Mapping[str, Callable[[bool], Schema]]] = {
    "string": lambda optional: primitive(Type.STRING, optional=optional),
    "unix": lambda optional: primitive(Type.INT64, optional=optional),
    "Date": lambda optional: date_schema(optional=optional),
    "Time": lambda optional: time_schema(optional=optional),
    "Timestamp": lambda optional: timestamp_schema(optional=optional),
}
