"""Topics, declared once: name, what is on them, and how the key travels."""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import Enum
from typing import Any, Final, Generic, TypeVar

from syncline.data import Type, primitive
from syncline.errors import ConfigError, DataError
from syncline.kit.messages.envelope import ConnectRecord, encode_envelope

R = TypeVar("R", bound=ConnectRecord)

_NAME: Final = re.compile(r"[a-zA-Z0-9._-]{1,249}")
_STRING: Final = primitive(Type.STRING)


class KeyForm(Enum):
    """How a text key is written."""

    CONNECT = "connect"
    TEXT = "text"


ConnectKey: Final = KeyForm.CONNECT
"""As an envelope, `{"schema": {"type": "string", "optional": false}, "payload": "..."}`.

Workers convert every key, by default with JsonConverter, which refuses plain text (spec/shop.md, GAP-04).
"""

TextKey: Final = KeyForm.TEXT
"""As plain UTF-8, for topics that no worker reads."""


@dataclass(frozen=True, slots=True)
class Topic(Generic[R]):
    """A topic of records of one kind, keyed by the record's field marked `Key`."""

    name: str
    value: type[R]
    key: KeyForm = ConnectKey
    partitions: int = 1
    """With which it is created where it does not exist."""

    def __post_init__(self) -> None:
        check_name(self.name)
        if self.value.key_field is None:
            raise ConfigError(f"{self.value.__name__} marks no field with Key, which orders its records")

    def encode(self, record: R) -> tuple[bytes, bytes]:
        """Key and value as they stand in the topic; DataError names the field that does not fit."""
        if not isinstance(record, self.value):
            raise DataError(f"{self.name} holds {self.value.__name__}, not {type(record).__name__}")
        return self._key(record), record.envelope()

    def _key(self, record: R) -> bytes:
        assert self.value.key_field is not None
        key: Any = getattr(record, self.value.key_field)
        if not isinstance(key, str):
            raise DataError(f"{self.value.__name__}.{self.value.key_field}: a key is text, not {key!r}")
        return encode_envelope(_STRING, key) if self.key is KeyForm.CONNECT else key.encode()


def check_name(name: str) -> None:
    """ConfigError when Kafka would refuse a topic of that name."""
    if not _NAME.fullmatch(name) or name in (".", ".."):
        raise ConfigError(f"{name!r} is no topic name: 1 to 249 letters, digits, '.', '_' and '-'")
