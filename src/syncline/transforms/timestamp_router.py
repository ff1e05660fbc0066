"""TimestampRouter: put the record's time into the topic's name."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from syncline.api import PluginKind, Transform, plugin
from syncline.errors import DataError
from syncline.options import Importance, load, option
from syncline.options.checks import refuse
from syncline.transforms.java_dates import format_date, parts_of
from syncline.transforms.sides import PACKAGE, R


def _valid_format(name: str, value: Any) -> None:
    try:
        parts_of(str(value))
    except ValueError as exc:
        raise refuse(name, value, str(exc)) from exc


@dataclass(frozen=True, kw_only=True)
class TimestampRouterConfig:
    topic_format: str = option(
        "topic.format",
        "The new name; ${topic} and ${timestamp} are replaced.",
        default="${topic}-${timestamp}",
        importance=Importance.HIGH,
    )
    timestamp_format: str = option(
        "timestamp.format",
        "How the timestamp is printed, in the letters of Java's SimpleDateFormat, UTC.",
        default="yyyyMMdd",
        importance=Importance.HIGH,
        check=_valid_format,
    )


@plugin(PluginKind.TRANSFORMATION, f"{PACKAGE}.TimestampRouter", settings=TimestampRouterConfig)
class TimestampRouter(Transform[R]):
    """A record without a timestamp is an error."""

    def configure(self, config: Mapping[str, str]) -> None:
        self._config = load(TimestampRouterConfig, config)

    def apply(self, record: R) -> R | None:
        if record.timestamp is None:
            raise DataError(f"Timestamp missing on record: topic {record.topic!r}")
        stamp = format_date(record.timestamp, self._config.timestamp_format)
        topic = self._config.topic_format.replace("${topic}", record.topic).replace("${timestamp}", stamp)
        return record.with_topic(topic)
