"""HoistField: wrap the key or value in a struct or map of one field."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from syncline.data import Schema, struct
from syncline.options import Importance, option
from syncline.transforms.sides import R, SidedTransform, both_sides, build


@dataclass(frozen=True, kw_only=True)
class HoistFieldConfig:
    field: str = option("field", "Name of the one field.", importance=Importance.MEDIUM)


@both_sides("HoistField")
class HoistField(SidedTransform[R, HoistFieldConfig]):
    """Anything may be wrapped, null too."""

    settings = HoistFieldConfig
    purpose = "hoisting field"

    def apply(self, record: R) -> R | None:
        schema, value = self.side.schema(record), self.side.value(record)
        if schema is None:
            return self.side.changed(record, None, self.without_schema(record, value))
        return self.side.changed(record, *self.with_schema(record, schema, value))

    def with_schema(self, record: R, schema: Schema, value: Any) -> tuple[Schema | None, Any]:
        wrapped = self.schema_for(schema, lambda inner: struct([(self.config.field, inner)]))
        return wrapped, build(wrapped, {self.config.field: value})

    def without_schema(self, record: R, value: Any) -> Any:
        return {self.config.field: value}
