"""The header `Idempotency-Key`: the same request sent again is the same order, on every instance.

A key is taken before the order is published and fixes the order's id. Whatever happens then, a request
that comes again under the key publishes the same order, which has no effect a second time.
"""

from __future__ import annotations

import hashlib
import itertools
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any, Final

from sqlalchemy import Column, Connection, Index, String, Table, delete, select, update

from syncline.kit.db import Database, Moment, insert_once
from syncline_shop.order.store import TABLES

KEYS = Table(
    "idempotency_keys",
    TABLES,
    Column("user_id", String(50), primary_key=True),
    Column("idempotency_key", String(200), primary_key=True),
    Column("fingerprint", String(64), nullable=False),
    Column("order_id", String(36), nullable=False),
    Column("created_at", Moment, nullable=False),
    Column("taken_at", Moment, nullable=False),
    Column("state", String(8), nullable=False),
    Index("idempotency_keys_by_age", "created_at"),
    mysql_charset="utf8mb4",
    mysql_collate="utf8mb4_bin",
)

_SPARE: Final = timedelta(seconds=2)
"""Beside the time for publishing, for the database before and after it."""
_KEPT: Final = timedelta(days=1)
_PURGE_EVERY: Final = 1000


class State(StrEnum):
    """Of a key."""

    TAKEN = "TAKEN"
    """A request is working on it."""
    FREE = "FREE"
    """The request failed; the next one may work on it."""
    DONE = "DONE"
    """The order is published."""


class Verdict(StrEnum):
    """What a request with a key is to do."""

    GO_ON = "GO_ON"
    REPLAY = "REPLAY"
    BUSY = "BUSY"
    OTHER_BODY = "OTHER_BODY"


@dataclass(frozen=True, slots=True)
class Claim:
    """The order a key stands for."""

    verdict: Verdict
    order_id: str
    created_at: datetime


class IdempotencyKeys:
    """Keys of all instances, in the database they share; calls block."""

    def __init__(self, database: Database, publishing: timedelta) -> None:
        """A request is answered within `publishing`, and a little for the database.

        One that took a key and has not said how it ended by then has died with its instance, or is so slow that
        the customer asks again: the next one works on the same order. Both may publish it in mode connect. Then
        its row is written twice (so the sink's `insert.mode` must be `upsert`), and the catalog hears one event twice.
        """
        self._database = database
        self._held = publishing + _SPARE
        self._claims = itertools.count()

    def claim(self, user_id: str, key: str, fingerprint: str, order_id: str, now: datetime) -> Claim:
        """Take a key for an order, or learn for which order it was taken before."""
        row = {
            "user_id": user_id,
            "idempotency_key": key,
            "fingerprint": fingerprint,
            "order_id": order_id,
            "created_at": now,
            "taken_at": now,
            "state": State.TAKEN,
        }
        with self._database.writing() as connection:
            if insert_once(connection, KEYS, row):
                if next(self._claims) % _PURGE_EVERY == 0:
                    connection.execute(delete(KEYS).where(KEYS.c.created_at < now - _KEPT))
                return Claim(Verdict.GO_ON, order_id, now)
            return self._known(connection, user_id, key, fingerprint, now)

    def _known(self, connection: Connection, user_id: str, key: str, fingerprint: str, now: datetime) -> Claim:
        mine = self._mine(user_id, key)
        row = connection.execute(select(KEYS).where(*mine)).one_or_none()
        if row is None:  # purged in this moment; the next try finds it free
            return Claim(Verdict.BUSY, "", now)

        def claim(verdict: Verdict) -> Claim:
            return Claim(verdict, row.order_id, row.created_at)

        if row.fingerprint != fingerprint:
            return claim(Verdict.OTHER_BODY)
        if row.state == State.DONE:
            return claim(Verdict.REPLAY)
        if row.state == State.TAKEN and row.taken_at > now - self._held:
            return claim(Verdict.BUSY)
        # Only one of those that come now finds the row as it was.
        as_it_was = (KEYS.c.state == row.state, KEYS.c.taken_at == row.taken_at)
        taken = connection.execute(update(KEYS).where(*mine, *as_it_was).values(state=State.TAKEN, taken_at=now))
        return claim(Verdict.GO_ON if taken.rowcount == 1 else Verdict.BUSY)

    def settle(self, user_id: str, key: str, state: State) -> None:
        """Say how a request that took the key has ended; once the order is published, another's failure is no news."""
        open_still = KEYS.c.state != State.DONE
        with self._database.writing() as connection:
            connection.execute(update(KEYS).where(*self._mine(user_id, key), open_still).values(state=state))

    def _mine(self, user_id: str, key: str) -> tuple[Any, ...]:
        return KEYS.c.user_id == user_id, KEYS.c.idempotency_key == key


def fingerprint(*parts: object) -> str:
    """What tells one request's body from another's."""
    return hashlib.sha256(repr(parts).encode()).hexdigest()
