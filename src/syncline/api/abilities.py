"""Optional abilities, each a protocol of one method; the worker asks whether a plug-in has them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol, runtime_checkable

from syncline.data import Schema, SchemaAndValue


@runtime_checkable
class DecodesLists(Protocol):
    """A converter that decodes many records in one call, for speed."""

    def to_connect_list(self, topic: str, raws: Sequence[bytes | None]) -> list[SchemaAndValue]:
        """As `to_connect` for each. Raises DataError when any is bad; the caller then goes one by one."""
        ...


@runtime_checkable
class EncodesLists(Protocol):
    """A converter that encodes many values of one schema in one call, for speed."""

    def from_connect_list(self, topic: str, schema: Schema | None, values: Sequence[Any]) -> list[bytes | None]:
        """As `from_connect` for each. Raises DataError when any is bad; the caller then goes one by one."""
        ...


@runtime_checkable
class AltersOffsets(Protocol):
    """A connector that checks offsets which a user wants to set or reset over REST (KIP-875)."""

    def alter_offsets(
        self, config: Mapping[str, str], offsets: Sequence[tuple[Mapping[str, Any], Mapping[str, Any] | None]]
    ) -> bool:
        """Accept (partition, offset or None for reset); True when the outside system was changed too.

        Raises ConnectError to refuse.
        """
        ...


@runtime_checkable
class ExactlyOnceSource(Protocol):
    """A source connector that says whether exactly-once delivery is possible (KIP-618)."""

    def exactly_once_support(self, config: Mapping[str, str]) -> bool: ...
