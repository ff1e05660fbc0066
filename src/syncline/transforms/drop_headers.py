"""DropHeaders: remove headers by name."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from syncline.api import PluginKind, Transform, plugin
from syncline.options import Importance, Kind, load, non_empty, option
from syncline.transforms.sides import PACKAGE, R


@dataclass(frozen=True, kw_only=True)
class DropHeadersConfig:
    headers: list[str] = option(
        "headers",
        "Names of the headers to remove.",
        kind=Kind.LIST,
        importance=Importance.HIGH,
        check=non_empty,
    )


@plugin(PluginKind.TRANSFORMATION, f"{PACKAGE}.DropHeaders", settings=DropHeadersConfig)
class DropHeaders(Transform[R]):
    """Removes all headers with one of the names."""

    def configure(self, config: Mapping[str, str]) -> None:
        self._names = frozenset(load(DropHeadersConfig, config).headers)

    def apply(self, record: R) -> R | None:
        kept = tuple(header for header in record.headers if header.key not in self._names)
        return record if len(kept) == len(record.headers) else record.with_headers(kept)
