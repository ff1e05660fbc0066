"""ReplaceField: leave out, keep only, or rename fields."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from syncline.data import Schema
from syncline.errors import ConfigError, DataError
from syncline.options import Importance, Kind, option
from syncline.options.checks import refuse
from syncline.transforms.sides import R, SidedTransform, both_sides, build, get, rebuilt, replace_null_option


def _valid_renames(name: str, value: Any) -> None:
    for mapping in value or []:
        old, colon, new = mapping.partition(":")
        if not colon or ":" in new or not old.strip() or not new.strip():
            raise refuse(name, value, f"Invalid rename mapping: {mapping}")


@dataclass(frozen=True, kw_only=True)
class ReplaceFieldConfig:
    exclude: list[str] = option(
        "exclude",
        "Fields to leave out; wins over include.",
        kind=Kind.LIST,
        default="",
        importance=Importance.MEDIUM,
    )
    include: list[str] = option(
        "include", "Fields to keep; all when empty.", kind=Kind.LIST, default="", importance=Importance.MEDIUM
    )
    renames: list[str] = option(
        "renames",
        "Pairs old:new.",
        kind=Kind.LIST,
        default="",
        importance=Importance.MEDIUM,
        check=_valid_renames,
    )
    whitelist: str | None = option("whitelist", "Removed in Kafka 4; use include.", default=None, internal=True)
    blacklist: str | None = option("blacklist", "Removed in Kafka 4; use exclude.", default=None, internal=True)
    replace_null: bool = replace_null_option()


@both_sides("ReplaceField")
class ReplaceField(SidedTransform[R, ReplaceFieldConfig]):
    """Renaming comes after leaving out; two fields of one name are refused."""

    settings = ReplaceFieldConfig
    purpose = "field replacement"

    def check(self) -> None:
        for gone, instead in (("whitelist", "include"), ("blacklist", "exclude")):
            if getattr(self.config, gone) is not None:
                raise ConfigError({gone: [f"'{gone}' was removed in Kafka 4 and would be ignored; use '{instead}'"]})
        pairs = (mapping.partition(":") for mapping in self.config.renames)
        self._renames = {old.strip(): new.strip() for old, _, new in pairs}
        self._excluded = frozenset(self.config.exclude)
        self._included = frozenset(self.config.include)

    def _keeps(self, name: str) -> bool:
        return name not in self._excluded and (not self._included or name in self._included)

    def _renamed(self, name: str) -> str:
        return self._renames.get(name, name)

    def with_schema(self, record: R, schema: Schema, value: Any) -> tuple[Schema | None, Any]:
        changed = self.schema_for(schema, self._changed)
        return changed, build(
            changed,
            {
                self._renamed(field.name): get(schema, value, field.name, replace_null=self.config.replace_null)
                for field in schema.fields
                if self._keeps(field.name)
            },
        )

    def _changed(self, schema: Schema) -> Schema:
        return rebuilt(schema, [(self._renamed(f.name), f.schema) for f in schema.fields if self._keeps(f.name)])

    def without_schema(self, record: R, value: Any) -> Any:
        changed: dict[Any, Any] = {}
        for key, found in value.items():
            if self._keeps(key):
                name = self._renamed(key)
                if name in changed:
                    raise DataError(f"two fields would be called {name!r}; check 'renames'")
                changed[name] = found
        return changed
