"""InsertHeader: put a constant into a header."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from syncline.api import PluginKind, Transform, plugin
from syncline.data import Header
from syncline.data.literals import value_of
from syncline.options import Importance, load, option
from syncline.transforms.sides import PACKAGE, R


@dataclass(frozen=True, kw_only=True)
class InsertHeaderConfig:
    header: str = option("header", "Name of the header.", importance=Importance.HIGH)
    literal: str = option(
        "value.literal",
        "The value: numbers, true, false, dates, lists and maps are what they look like, the rest is text.",
        importance=Importance.HIGH,
    )


@plugin(PluginKind.TRANSFORMATION, f"{PACKAGE}.InsertHeader", settings=InsertHeaderConfig)
class InsertHeader(Transform[R]):
    """Adds the header behind those that are there, also behind one of the same name."""

    def configure(self, config: Mapping[str, str]) -> None:
        settings = load(InsertHeaderConfig, config)
        schema, value = value_of(settings.literal)
        self._header = Header(settings.header, schema, value)

    def apply(self, record: R) -> R | None:
        return record.with_headers((*record.headers, self._header))
