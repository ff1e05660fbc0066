"""Fetch sessions (KIP-227): what a client wants is said once, and partitions without news are left out of answers."""

from __future__ import annotations

import itertools
import secrets
from collections import OrderedDict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final
from uuid import UUID

from syncline.broker.errors import (
    FETCH_SESSION_ID_NOT_FOUND,
    FETCH_SESSION_TOPIC_ID_ERROR,
    INVALID_FETCH_SESSION_EPOCH,
    KafkaError,
)

NO_SESSION: Final = 0
FIRST_EPOCH: Final = 0
LAST_EPOCH: Final = -1
SLOTS: Final = 1000
"""Kafka's `max.incremental.fetch.session.cache.slots`."""
UNUSED_S: Final = 120.0
"""Kafka's `min.incremental.fetch.session.eviction.ms`: a session used since is not given up for a new one."""
_HIGHEST: Final = 2**31 - 1

Topic = str | UUID
"""By name up to version 12 of Fetch, by id from 13 on."""
Key = tuple[Topic, int]


@dataclass(slots=True)
class Wanted:
    """One partition that a client reads, and what it was last told of it."""

    topic: Topic
    partition: int
    offset: int
    max_bytes: int
    leader_epoch: int = -1
    """The leader's epoch as the client knows it; -1: it does not say."""
    last_epoch: int = -1
    """The epoch of the last record it has; -1: it does not say."""
    name: str | None = None
    """The topic's name, once it was known."""
    high_watermark: int = -1
    log_start: int = -1

    @property
    def key(self) -> Key:
        return self.topic, self.partition

    def is_news(self, told: Mapping[str, Any]) -> bool:
        """Whether an answer for this partition says anything new; it is taken note of."""
        news = (
            bool(told["records"])
            or told["error_code"] != 0
            or told["high_watermark"] != self.high_watermark
            or told["log_start_offset"] != self.log_start
        )
        # An error is told again until it is over.
        self.high_watermark = -1 if told["error_code"] else told["high_watermark"]
        self.log_start = told["log_start_offset"]
        return news


@dataclass(slots=True)
class Session:
    """What one client reads; the order is that in which partitions are looked at."""

    id: int
    by_id: bool
    used: float
    partitions: OrderedDict[Key, Wanted] = field(default_factory=OrderedDict)
    epoch: int = 1
    """Expected of the next request."""

    def change(self, wanted: Iterable[Wanted], forgotten: Iterable[Key]) -> None:
        for each in wanted:
            known = self.partitions.get(each.key)
            if known is None:
                self.partitions[each.key] = each
            else:
                known.offset, known.max_bytes = each.offset, each.max_bytes
                known.leader_epoch, known.last_epoch = each.leader_epoch, each.last_epoch
        for key in forgotten:
            self.partitions.pop(key, None)

    def news(self, answers: list[tuple[Wanted, dict[str, Any]]]) -> list[tuple[Wanted, dict[str, Any]]]:
        """The answers with something new in them; partitions that had records come last the next time."""
        found = []
        for wanted, told in answers:
            if wanted.is_news(told):
                found.append((wanted, told))
                if told["records"] and wanted.key in self.partitions:
                    self.partitions.move_to_end(wanted.key)
        return found


class FetchSessions:
    """All sessions, the longest unused first. Used from the broker's event loop only."""

    def __init__(self, slots: int = SLOTS) -> None:
        self._slots = slots
        self._sessions: OrderedDict[int, Session] = OrderedDict()
        # Ids of different starts must not meet, or a client would go on in another's session.
        self._ids = itertools.count(secrets.randbelow(_HIGHEST))

    def __len__(self) -> int:
        return len(self._sessions)

    def open(
        self,
        session_id: int,
        epoch: int,
        wanted: list[Wanted],
        forgotten: Iterable[Key],
        *,
        by_id: bool,
        now: float,
    ) -> tuple[Session | None, list[Wanted], bool]:
        """The session of a request, what to read for it, and whether the answer tells everything.

        KafkaError when the session does not exist, or the request is not its next one.
        """
        if epoch in (FIRST_EPOCH, LAST_EPOCH):
            self._sessions.pop(session_id, None)
            session = self._begun(wanted, by_id=by_id, now=now) if epoch == FIRST_EPOCH else None
            return session, wanted, True
        session = self._sessions.get(session_id)
        if session is None:
            raise KafkaError(FETCH_SESSION_ID_NOT_FOUND)
        if epoch != session.epoch:
            raise KafkaError(INVALID_FETCH_SESSION_EPOCH)
        if by_id != session.by_id:
            raise KafkaError(FETCH_SESSION_TOPIC_ID_ERROR)
        session.change(wanted, forgotten)
        session.used = now
        session.epoch = 1 if session.epoch == _HIGHEST else session.epoch + 1
        if not session.partitions:
            del self._sessions[session_id]
            return None, [], True
        self._sessions.move_to_end(session_id)
        return session, list(session.partitions.values()), False

    def _begun(self, wanted: list[Wanted], *, by_id: bool, now: float) -> Session | None:
        """A new session; None when all slots are taken by sessions in use: the client goes on without one."""
        if len(self._sessions) >= self._slots:
            oldest = next(iter(self._sessions.values()))
            if now - oldest.used <= UNUSED_S:
                return None
            del self._sessions[oldest.id]
        session_id = next(self._ids) % _HIGHEST + 1
        session = Session(session_id, by_id, now)
        session.change(wanted, ())
        self._sessions[session_id] = session
        return session
