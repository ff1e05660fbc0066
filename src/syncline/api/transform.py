"""Single message transforms and predicates."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Generic, TypeVar

from syncline.data import SinkRecord, SourceRecord

R = TypeVar("R", SinkRecord, SourceRecord)


class Transform(ABC, Generic[R]):
    """Changes records one by one; an instance serves one task."""

    def configure(self, config: Mapping[str, str]) -> None:
        """Take the options, without the prefix `transforms.<alias>.`; ConfigError names a bad one."""

    @abstractmethod
    def apply(self, record: R) -> R | None:
        """The changed record, or None to drop it; DataError when the record cannot be changed."""

    def close(self) -> None:
        """Release everything."""


class Predicate(ABC, Generic[R]):
    """Decides for which records a transform applies."""

    def configure(self, config: Mapping[str, str]) -> None:
        """Take the options, without the prefix `predicates.<alias>.`."""

    @abstractmethod
    def test(self, record: R) -> bool:
        """Whether the predicate holds for `record`."""

    def close(self) -> None:
        """Release everything."""
