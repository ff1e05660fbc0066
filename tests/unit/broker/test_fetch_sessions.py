"""Fetch sessions tell partitions with news alone, and end when they are not used."""

from __future__ import annotations

from typing import Any

import pytest

from syncline.broker.errors import FETCH_SESSION_ID_NOT_FOUND, INVALID_FETCH_SESSION_EPOCH, KafkaError
from syncline.broker.fetch_sessions import UNUSED_S, FetchSessions, Session, Wanted


def wanted(*numbers: int, offset: int = 0) -> list[Wanted]:
    return [Wanted("t", number, offset, 1000) for number in numbers]


def told(end: int, records: bytes = b"", error: int = 0, start: int = 0) -> dict[str, Any]:
    return {"records": records, "error_code": error, "high_watermark": end, "log_start_offset": start}


def begun(sessions: FetchSessions, *numbers: int, now: float = 0) -> Session:
    session, _, whole = sessions.open(0, 0, wanted(*numbers), (), by_id=False, now=now)
    assert session is not None
    assert whole
    return session


def gone_on(sessions: FetchSessions, session: Session, epoch: int, now: float = 0) -> list[Wanted]:
    same, partitions, whole = sessions.open(session.id, epoch, [], (), by_id=False, now=now)
    assert same is session
    assert not whole
    return partitions


def news(session: Session, *answers: dict[str, Any]) -> list[int]:
    found = session.news(list(zip(session.partitions.values(), answers, strict=True)))
    return [each.partition for each, _ in found]


def test_a_partition_without_news_is_left_out() -> None:
    session = begun(FetchSessions(), 0, 1)
    assert news(session, told(5), told(7)) == [0, 1]
    assert news(session, told(5), told(7)) == []
    assert news(session, told(5), told(8)) == [1]
    assert news(session, told(5, start=2), told(8)) == [0]


def test_an_error_is_told_until_it_is_over() -> None:
    session = begun(FetchSessions(), 0)
    assert news(session, told(-1, error=3)) == [0]
    assert news(session, told(-1, error=3)) == [0]
    assert news(session, told(5)) == [0]
    assert news(session, told(5)) == []


def test_a_partition_that_had_records_comes_last_the_next_time() -> None:
    session = begun(FetchSessions(), 0, 1, 2)
    news(session, told(5, b"records"), told(5), told(5))
    assert [number for _, number in session.partitions] == [1, 2, 0]


def test_a_request_changes_what_is_read_and_forgets() -> None:
    sessions = FetchSessions()
    session = begun(sessions, 0, 1)
    sessions.open(session.id, 1, wanted(0, 2, offset=9), [("t", 1)], by_id=False, now=0)
    assert {key[1]: each.offset for key, each in session.partitions.items()} == {0: 9, 2: 9}


def test_an_unknown_session_and_a_repeated_request_are_refused() -> None:
    sessions = FetchSessions()
    session = begun(sessions, 0)
    gone_on(sessions, session, 1)
    for session_id, epoch, code in (
        (session.id, 1, INVALID_FETCH_SESSION_EPOCH),
        (session.id, 3, INVALID_FETCH_SESSION_EPOCH),
        (session.id + 1, 1, FETCH_SESSION_ID_NOT_FOUND),
    ):
        with pytest.raises(KafkaError) as refused:
            sessions.open(session_id, epoch, [], (), by_id=False, now=0)
        assert refused.value.code == code


def test_when_all_slots_are_in_use_a_client_goes_on_without_a_session() -> None:
    sessions = FetchSessions(slots=2)
    first = begun(sessions, 0)
    begun(sessions, 0)
    assert sessions.open(0, 0, wanted(0), (), by_id=False, now=UNUSED_S)[0] is None
    gone_on(sessions, first, 1, now=UNUSED_S)
    begun(sessions, 0, now=UNUSED_S + 1)  # the second one was not used
    gone_on(sessions, first, 2, now=UNUSED_S + 1)
    assert len(sessions) == 2
