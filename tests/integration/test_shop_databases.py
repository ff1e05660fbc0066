"""Users, wrong logins and idempotency keys on real databases, with many instances at once."""

from __future__ import annotations

import asyncio
import datetime as dt
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from sqlalchemy import MetaData

from syncline.kit.db import Database
from syncline.kit.errors import DatabaseUnavailable
from syncline_shop.order.idempotency import IdempotencyKeys, State, Verdict
from syncline_shop.order.store import TABLES as ORDER_TABLES
from syncline_shop.user.domain import User
from syncline_shop.user.store import TABLES as USER_TABLES
from syncline_shop.user.store import LoginAttempts, UserStore
from tests import servers

NOW = dt.datetime(2026, 1, 2, 3, 4, 5, tzinfo=dt.UTC)


@pytest.fixture(params=["sqlite", "mariadb", "postgresql"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path / 'shop.db'}"
    found: servers.Database = request.getfixturevalue(request.param)
    return found.url


def opened(url: str, tables: MetaData) -> Database:
    return Database(url, tables)


def user(number: int, email: str = "roy@naver.com") -> User:
    return User(
        user_id=f"u-{number}", email=email, name="로이😀", password_hash="$argon2id$" + "x" * 200, created_at=NOW
    )


async def test_an_address_signs_up_once(url: str) -> None:
    async with opened(url, USER_TABLES) as database:
        store = UserStore(database)
        with ThreadPoolExecutor(8) as pool:
            stored = list(await asyncio.to_thread(lambda: list(pool.map(lambda n: store.add(user(n)), range(8)))))
        assert Counter(stored) == {True: 1, False: 7}
        assert not store.add(user(9, "ROY@naver.com"))
        assert store.add(user(10, "röy@naver.com"))
        found = store.with_email("Roy@Naver.com")
        assert found is not None
        assert found == user(int(found.user_id[2:]))
        assert store.get(found.user_id) == found
        assert store.get(found.user_id.upper()) is None
        assert [len(store.page(number, 1)) for number in (1, 2, 3)] == [1, 1, 0]


async def test_no_more_wrong_logins_than_allowed_get_through_at_once(url: str) -> None:
    async with opened(url, USER_TABLES) as database:
        attempts = LoginAttempts(database, limit=5, window_seconds=60)

        def begin(_: int) -> bool:
            while True:
                try:
                    return attempts.begin("roy@naver.com", NOW) == 0
                except DatabaseUnavailable:  # lost against another transaction
                    continue

        with ThreadPoolExecutor(8) as pool:
            allowed = await asyncio.to_thread(lambda: list(pool.map(begin, range(24))))
        assert Counter(allowed) == {True: 5, False: 19}
        assert attempts.begin("roy@naver.com", NOW + dt.timedelta(seconds=20)) == 40
        attempts.succeeded("Roy@naver.com")
        assert attempts.begin("roy@naver.com", NOW + dt.timedelta(seconds=20)) == 0


async def test_one_of_many_requests_takes_a_key(url: str) -> None:
    async with opened(url, ORDER_TABLES) as database:
        keys = IdempotencyKeys(database, dt.timedelta(seconds=3))

        def claim(number: int) -> tuple[str, str]:
            while True:
                try:
                    claimed = keys.claim("roy", "k", "same", f"o-{number}", NOW)
                    return claimed.verdict, claimed.order_id
                except DatabaseUnavailable:  # lost against another transaction
                    continue

        def at_once() -> list[tuple[str, str]]:
            with ThreadPoolExecutor(8) as pool:
                return list(pool.map(claim, range(16)))

        for state in (None, State.FREE):
            if state is not None:
                keys.settle("roy", "k", state)
            claims = await asyncio.to_thread(at_once)
            assert Counter(verdict for verdict, _ in claims) == {Verdict.GO_ON: 1, Verdict.BUSY: 15}
            assert len({order_id for _, order_id in claims}) == 1
        keys.settle("roy", "k", State.DONE)
        keys.settle("roy", "k", State.FREE)
        assert claim(99)[0] == Verdict.REPLAY
        assert keys.claim("roy", "k", "other", "o", NOW).verdict is Verdict.OTHER_BODY
        assert keys.claim("roy", "K", "other", "o", NOW).verdict is Verdict.GO_ON
