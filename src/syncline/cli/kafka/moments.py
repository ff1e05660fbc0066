"""Moments as Kafka's tools take them: ISO 8601 dates and durations."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from typing import Final

from syncline.clock import SYSTEM_CLOCK

_DURATION: Final = re.compile(r"([+-]?)P(?:(\d+)D)?(?:T(?:(\d+)H)?(?:(\d+)M)?(?:(\d+(?:\.\d+)?)S)?)?", re.IGNORECASE)


def milliseconds(text: str) -> int:
    """Since the epoch; a date without a zone is in UTC. ValueError when it is none."""
    try:
        found = datetime.fromisoformat(text)
    except ValueError:
        raise ValueError(f"{text!r} is no moment of the form YYYY-MM-DDTHH:mm:ss.sss") from None
    if found.tzinfo is None:
        found = found.replace(tzinfo=UTC)
    return int(found.timestamp() * 1000)


def before_now(text: str) -> int:
    """The moment so long ago, in milliseconds since the epoch. ValueError when it is no duration."""
    match = _DURATION.fullmatch(text.strip())
    if match is None or not any(match.groups()[1:]):
        raise ValueError(f"{text!r} is no duration of the form PnDTnHnMnS")
    days, hours, minutes, seconds = (float(part or 0) for part in match.groups()[1:])
    length = timedelta(days=days, hours=hours, minutes=minutes, seconds=seconds)
    sign = -1 if match[1] == "-" else 1
    return SYSTEM_CLOCK.wall_ms() - sign * int(length.total_seconds() * 1000)
