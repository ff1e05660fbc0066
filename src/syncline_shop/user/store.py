"""The tables of the user service: users, the wrong logins of late, and who may stay signed in."""

from __future__ import annotations

import hashlib
import secrets
import uuid
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import (
    BigInteger,
    Column,
    Connection,
    Index,
    Integer,
    MetaData,
    Row,
    String,
    Table,
    delete,
    insert,
    select,
    update,
)

from syncline.kit.db import Database, Moment, insert_once
from syncline_shop.user.domain import User, same_mailbox

TABLES = MetaData()
_EXACT: dict[str, Any] = {"mysql_charset": "utf8mb4", "mysql_collate": "utf8mb4_bin"}

USERS = Table(
    "users",
    TABLES,
    Column("id", BigInteger().with_variant(Integer(), "sqlite"), primary_key=True, autoincrement=True),
    Column("user_id", String(36), nullable=False, unique=True),
    Column("email", String(254), nullable=False),
    Column("mailbox", String(254), nullable=False, unique=True),
    Column("name", String(50), nullable=False),
    Column("password_hash", String(255), nullable=False),
    Column("created_at", Moment, nullable=False),
    **_EXACT,
)

LOGINS = Table(
    "login_attempts",
    TABLES,
    Column("mailbox", String(254), primary_key=True),
    Column("since", Moment, nullable=False),
    Column("failures", Integer, nullable=False),
    Index("login_attempts_by_age", "since"),
    **_EXACT,
)

REFRESH = Table(
    "refresh_tokens",
    TABLES,
    Column("digest", String(64), primary_key=True),
    Column("family", String(36), nullable=False),
    Column("user_id", String(36), nullable=False),
    Column("expires_at", Moment, nullable=False),
    Column("used_at", Moment),
    Index("refresh_tokens_by_family", "family"),
    Index("refresh_tokens_by_age", "expires_at"),
    **_EXACT,
)

_READ = [USERS.c[name] for name in ("user_id", "email", "name", "password_hash", "created_at")]


class UserStore:
    """Reads and writes users; calls block."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def add(self, user: User) -> bool:
        """Whether the user was stored; False when the mailbox has one already."""
        values = {
            "user_id": user.user_id,
            "email": user.email,
            "mailbox": same_mailbox(user.email),
            "name": user.name,
            "password_hash": user.password_hash,
            "created_at": user.created_at,
        }
        with self._database.begin() as connection:
            return insert_once(connection, USERS, values)

    def get(self, user_id: str) -> User | None:
        """The user with this id, or None."""
        return self._one(USERS.c.user_id == user_id)

    def with_email(self, email: str) -> User | None:
        """The user of this address, however it is written, or None."""
        return self._one(USERS.c.mailbox == same_mailbox(email))

    def page(self, number: int, size: int) -> list[User]:
        """Users in the order they signed up; pages count from 1."""
        query = select(*_READ).order_by(USERS.c.id).limit(size).offset((number - 1) * size)
        with self._database.begin() as connection:
            return [_user(row) for row in connection.execute(query)]

    def _one(self, condition: Any) -> User | None:
        with self._database.begin() as connection:
            row = connection.execute(select(*_READ).where(condition)).one_or_none()
        return None if row is None else _user(row)


class LoginAttempts:
    """Counts wrong logins per address, for all instances; of unknown addresses as of known ones."""

    def __init__(self, database: Database, limit: int, window_seconds: int) -> None:
        self._database = database
        self._limit = limit
        self._window = timedelta(seconds=window_seconds)

    def begin(self, email: str, now: datetime) -> float:
        """Count an attempt as wrong before it is checked; 0, or seconds to wait when there were too many.

        Afterwards is too late: a thousand that come at once would all be checked.
        """
        mailbox = same_mailbox(email)
        mine = LOGINS.c.mailbox == mailbox
        with self._database.begin() as connection:
            if insert_once(connection, LOGINS, {"mailbox": mailbox, "since": now, "failures": 1}):
                connection.execute(delete(LOGINS).where(LOGINS.c.since < now - self._window - timedelta(days=1)))
                return 0
            over = update(LOGINS).where(mine, LOGINS.c.since <= now - self._window).values(since=now, failures=1)
            if connection.execute(over).rowcount == 1:
                return 0
            more = update(LOGINS).where(mine, LOGINS.c.failures < self._limit).values(failures=LOGINS.c.failures + 1)
            if connection.execute(more).rowcount == 1:
                return 0
            since = connection.scalar(select(LOGINS.c.since).where(mine))
        return 0 if since is None else max((since + self._window - now).total_seconds(), 1)

    def succeeded(self, email: str) -> None:
        """Forget the wrong ones."""
        with self._database.begin() as connection:
            connection.execute(delete(LOGINS).where(LOGINS.c.mailbox == same_mailbox(email)))


class RefreshTokens:
    """Tokens that are good once: each is exchanged for the next (RFC 9700, 4.14.2). The table holds digests only."""

    def __init__(self, database: Database, days: float) -> None:
        self._database = database
        self._good_for = timedelta(days=days)

    def issue(self, user_id: str, now: datetime) -> str:
        """The first token of somebody who has just signed in."""
        with self._database.begin() as connection:
            connection.execute(delete(REFRESH).where(REFRESH.c.expires_at < now))
            return self._add(connection, user_id, str(uuid.uuid4()), now)

    def exchange(self, token: str, now: datetime) -> tuple[str, str] | None:
        """The user and the next token; None when this one is not good.

        One that was exchanged before is in two hands, of which one is a thief's: all that came from the same login
        end with it.
        """
        mine = REFRESH.c.digest == _digest(token)
        with self._database.begin() as connection:
            fresh = update(REFRESH).where(mine, REFRESH.c.used_at.is_(None), REFRESH.c.expires_at > now)
            first = connection.execute(fresh.values(used_at=now)).rowcount == 1
            found = connection.execute(select(REFRESH.c.user_id, REFRESH.c.family).where(mine)).one_or_none()
            if found is None:
                return None
            if not first:
                connection.execute(delete(REFRESH).where(REFRESH.c.family == found.family))
                return None
            return found.user_id, self._add(connection, found.user_id, found.family, now)

    def _add(self, connection: Connection, user_id: str, family: str, now: datetime) -> str:
        token = secrets.token_urlsafe(32)
        values = {
            "digest": _digest(token),
            "family": family,
            "user_id": user_id,
            "expires_at": now + self._good_for,
        }
        connection.execute(insert(REFRESH).values(values))
        return token


def _digest(token: str) -> str:
    """Fast on purpose: what is random in 256 bits cannot be guessed."""
    return hashlib.sha256(token.encode()).hexdigest()


def _user(row: Row[Any]) -> User:
    return User(**row._mapping)
