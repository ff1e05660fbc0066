"""SetSchemaMetadata: set a schema's name and version."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from syncline.data import Schema, Type
from syncline.errors import ConfigError, DataError
from syncline.options import Importance, Kind, option
from syncline.transforms.sides import R, SidedTransform, both_sides, build, get, replace_null_option


@dataclass(frozen=True, kw_only=True)
class SetSchemaMetadataConfig:
    name: str | None = option("schema.name", "The new name.", default=None, importance=Importance.HIGH)
    version: int | None = option(
        "schema.version", "The new version.", kind=Kind.INT, default=None, importance=Importance.HIGH
    )
    replace_null: bool = replace_null_option()


@both_sides("SetSchemaMetadata")
class SetSchemaMetadata(SidedTransform[R, SetSchemaMetadataConfig]):
    """Works on struct schemas only, as in Kafka Connect."""

    settings = SetSchemaMetadataConfig
    purpose = "updating schema metadata"

    def check(self) -> None:
        if self.config.name is None and self.config.version is None:
            raise ConfigError("Neither schema name nor version configured")

    def apply(self, record: R) -> R | None:
        schema, value = self.side.schema(record), self.side.value(record)
        if schema is None and value is None:
            return record
        if schema is None:
            raise DataError(f"Schema required for [{self.purpose}]")
        return self.side.changed(record, *self.with_schema(record, schema, value))

    def with_schema(self, record: R, schema: Schema, value: Any) -> tuple[Schema | None, Any]:
        changed = self.schema_for(schema, self._changed)
        if value is None:
            return changed, None
        values = {f.name: get(schema, value, f.name, replace_null=self.config.replace_null) for f in schema.fields}
        return changed, build(changed, values)

    def _changed(self, schema: Schema) -> Schema:
        if schema.type is not Type.STRUCT:
            raise DataError(f"Cannot list fields on non-struct type: {schema.type}")
        return schema.replace(
            name=self.config.name if self.config.name is not None else schema.name,
            version=self.config.version if self.config.version is not None else schema.version,
        )

    def without_schema(self, record: R, value: Any) -> Any:
        raise DataError(f"Schema required for [{self.purpose}]")
