"""Converters: between Kafka's bytes and data with schemas."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Any

from syncline.data import Schema, SchemaAndValue


class Converter(ABC):
    """Of keys or values. An instance serves one task and is used by one thread at a time."""

    def configure(self, config: Mapping[str, str], *, is_key: bool = False) -> None:
        """Take the options, without the prefix `key.converter.` or `value.converter.`.

        Raises ConfigError naming the option.
        """

    @abstractmethod
    def to_connect(self, topic: str, raw: bytes | None) -> SchemaAndValue:
        """Decode; DataError when `raw` is not in this format."""

    @abstractmethod
    def from_connect(self, topic: str, schema: Schema | None, value: Any) -> bytes | None:
        """Encode; DataError when `value` does not fit `schema` or this format."""


class HeaderConverter(ABC):
    """Of header values."""

    def configure(self, config: Mapping[str, str], *, is_key: bool = False) -> None:
        """Take the options, without the prefix `header.converter.`; `is_key` means nothing here."""

    @abstractmethod
    def to_connect_header(self, topic: str, key: str, raw: bytes | None) -> SchemaAndValue:
        """Decode one header's value."""

    @abstractmethod
    def from_connect_header(self, topic: str, key: str, schema: Schema | None, value: Any) -> bytes | None:
        """Encode one header's value."""
