"""What all formats share: each serves keys, values and headers alike, and is announced for both kinds."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Mapping
from decimal import Decimal
from typing import Any, Final, TypeVar

import msgspec

from syncline.api import Converter, HeaderConverter, PluginKind, plugin
from syncline.data import Schema, SchemaAndValue
from syncline.errors import DataError
from syncline.options import Importance, one_of, option

VERSION: Final = "4.1.0"

F = TypeVar("F", bound="type[Format]")


class Format(Converter, HeaderConverter):
    """A format for keys, values and headers; a header is read and written as a value would be.

    An instance works with the defaults until it is configured.
    """

    def __init__(self) -> None:
        self.configure({})

    def configure(self, config: Mapping[str, str], *, is_key: bool = False) -> None:
        self.set_up({"converter.type": "key" if is_key else "value", **config})

    @abstractmethod
    def set_up(self, config: Mapping[str, str]) -> None:
        """As `configure`, with `converter.type` among the options."""

    def to_connect_header(self, topic: str, key: str, raw: bytes | None) -> SchemaAndValue:
        return self.to_connect(topic, raw)

    def from_connect_header(self, topic: str, key: str, schema: Schema | None, value: Any) -> bytes | None:
        return self.from_connect(topic, schema, value)


def announced(java_class: str, settings: type[Any]) -> Callable[[F], F]:
    """Class decorator: the format is a plug-in for keys and values, and one for headers."""

    def mark(cls: F) -> F:
        for kind in (PluginKind.CONVERTER, PluginKind.HEADER_CONVERTER):
            cls = plugin(kind, java_class, version=VERSION, settings=settings)(cls)
        return cls

    return mark


def converter_type() -> Any:
    """The option every format has; the worker sets it."""
    return option(
        "converter.type",
        "How this converter will be used: for keys, values or headers. Set by the worker.",
        check=one_of(("key", "value", "header")),
        importance=Importance.LOW,
    )


class SerializationError(DataError):
    """Bytes that are not in the format, or a value that the format cannot hold."""

    java_class = "org.apache.kafka.common.errors.SerializationException"


class WrongClass(DataError):
    """A value of a kind that the format does not take."""

    java_class = "java.lang.ClassCastException"


def java_class_name(value: Any) -> str:
    """The Java class of the value's counterpart, for messages that name it."""
    for python, java in _JAVA_CLASSES:
        if isinstance(value, python):
            return java
    return f"{type(value).__module__}.{type(value).__qualname__}"


_JAVA_CLASSES: Final[tuple[tuple[Any, str], ...]] = (
    (bool, "java.lang.Boolean"),
    (int, "java.lang.Long"),
    (float, "java.lang.Double"),
    (str, "java.lang.String"),
    (bytes | bytearray, "[B"),
    (Decimal, "java.math.BigDecimal"),
    (list, "java.util.ArrayList"),
    (dict, "java.util.HashMap"),
    (msgspec.Struct, "org.apache.kafka.connect.data.Struct"),
)
