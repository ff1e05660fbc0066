"""Conversations about records: writing good and bad ones, reading within limits and in sessions."""

from __future__ import annotations

import struct
from typing import Any
from uuid import UUID

from tests.integration.broker.differential.batches import GZIP, LZ4, SNAPPY, ZSTD, batch
from tests.integration.broker.differential.talk import FETCH, PRODUCE, Talk, conversation

NOBODY = UUID("01234567-89ab-cdef-0123-456789abcdef")
NOW = 1_700_000_000_000
ONE = [(b"key", b"value")]
THREE = [(b"a", b"1"), (b"b", b"2"), (b"c", b"3")]
NO_KEY = [(None, b"value")]

# -- Produce ---------------------------------------------------------------------------------

for _version in range(3, 14):

    @conversation(f"produce v{_version}")
    def _(talk: Talk, version: int = _version) -> None:
        name = talk.topic(partitions=2)
        for topic, number in ((name, 0), (name, 0), (name, 1), (name, 7), (name, -1)):
            produce(talk, version, topic, batch(THREE, NOW), partition=number)
        if version < 13:
            produce(talk, version, f"{name}-unknown", batch(ONE, NOW))
        else:
            produce(talk, version, name, batch(ONE, NOW), topic_id=NOBODY)
        talk.fetch(12, name)

    @conversation(f"produce badly v{_version}")
    def _(talk: Talk, version: int = _version) -> None:
        name = talk.topic()
        for data in (batch(ONE, NOW, crc=1), batch(ONE, NOW, count=2), batch(ONE, NOW, magic=1), b""):
            produce(talk, version, name, data)
        produce(talk, version, name, batch(ONE, NOW), acks=2)


def produce(talk: Talk, version: int, topic: str, data: bytes | None, **facts: Any) -> Any:
    part = {"index": facts.get("partition", 0), "records": data}
    wanted: dict[str, Any] = {"name": topic, "partition_data": [part]}
    if version >= 13:
        wanted["topic_id"] = facts.get("topic_id") or talk.topic_id(topic)
    return talk.ask(PRODUCE, version, acks=facts.get("acks", -1), timeout=1_000, topic_data=[wanted])


for _acks in (-1, 1, 2, -2, 100):

    @conversation(f"produce with acks {_acks}")
    def _(talk: Talk, acks: int = _acks) -> None:
        name = talk.topic()
        talk.produce(name, batch(ONE, NOW), acks=acks)
        talk.fetch(12, name)


@conversation("produce with acks 0")
def _(talk: Talk) -> None:
    name = talk.topic()
    data = [{"name": name, "partition_data": [{"index": 0, "records": batch(ONE, NOW)}]}]
    talk.client.send(PRODUCE, 11, acks=0, timeout=10_000, topic_data=data)
    talk.fetch(12, name)


@conversation("produce with acks 0 where it fails")
def _(talk: Talk) -> None:
    data = [{"name": "nowhere", "partition_data": [{"index": 0, "records": batch(ONE, NOW)}]}]
    talk.client.send(PRODUCE, 11, acks=0, timeout=10_000, topic_data=data)
    try:
        talk.client.ask(3, 12, topics=[])
    except ConnectionError:
        talk.note("afterwards", "closed")
        talk.reconnect()
    else:
        talk.note("afterwards", "open")


BAD: dict[str, bytes] = {
    "a wrong checksum": batch(ONE, NOW, crc=1),
    "too many records announced": batch(THREE, NOW, count=4),
    "too few records announced": batch(THREE, NOW, count=2),
    "no records announced": batch(THREE, NOW, count=0),
    "a negative number of records": batch(THREE, NOW, count=-1),
    "both counts too many": batch(THREE, NOW, count=4, last_delta=3),
    "both counts too few": batch(THREE, NOW, count=2, last_delta=1),
    "a last offset too far": batch(THREE, NOW, last_delta=5),
    "a last offset too near": batch(THREE, NOW, last_delta=1),
    "a negative last offset": batch(THREE, NOW, last_delta=-1),
    "offsets that jump": batch(THREE, NOW, deltas=[0, 2, 4]),
    "offsets that jump within": batch(THREE, NOW, deltas=[0, 2, 1]),
    "offsets that begin at one": batch(THREE, NOW, deltas=[1, 2, 3]),
    "the same offset thrice": batch(THREE, NOW, deltas=[0, 0, 0]),
    "jumping offsets, compressed": batch(THREE, NOW, deltas=[0, 2, 4], codec=GZIP),
    "offsets from one on, compressed": batch(THREE, NOW, deltas=[1, 2, 3], codec=GZIP),
    "a wrong count, compressed": batch(THREE, NOW, count=4, last_delta=3, codec=LZ4),
    "a low count, compressed": batch(THREE, NOW, count=2, last_delta=1, codec=LZ4),
    "an old format": batch(ONE, NOW, magic=1),
    "a format of the future": batch(ONE, NOW, magic=3),
    "a negative format": batch(ONE, NOW, magic=-1),
    "no batch": b"not a batch",
    "half a batch": batch(THREE, NOW)[:-5],
    "a header alone": batch(ONE, NOW)[:61],
    "a length too long": batch(ONE, NOW, length=50),
    "a length too short": batch(ONE, NOW, length=-3),
    "a tiny length": batch(ONE, NOW, length=-70),
    "rubbish behind it": batch(ONE, NOW) + b"rubbish",
    "a control batch": batch(
        [(struct.pack(">hh", 0, 1), struct.pack(">hi", 0, 0))], NOW, attributes=0x20, producer=(1, 0, -1)
    ),
    "a control batch without producer": batch([(b"\0\0\0\1", b"\0\0\0\0\0\0")], NOW, attributes=0x20),
    "a transactional batch": batch(ONE, NOW, attributes=0x10, producer=(999_999, 0, 0)),
    "a transactional batch without producer": batch(ONE, NOW, attributes=0x10),
    "a producer without sequence": batch(ONE, NOW, producer=(999_999, 0, -1)),
    "a codec that does not exist": batch(ONE, NOW, attributes=7),
    "a codec that was not used": batch(ONE, NOW, attributes=GZIP),
    "records that are rubbish": batch(ONE, NOW, body=b"\x20rubbish"),
    "records that are too long": batch(ONE, NOW, body=b"\xff\xff\xff\x7f"),
    "no bytes of records": batch(ONE, NOW, body=b""),
    "bytes behind the records": batch(ONE, NOW, body=b"\x18\0\0\0\x06key\x0avalue\0" + b"xyz"),
    "another base offset": batch(ONE, NOW, base=42),
    "two batches": batch(ONE, NOW) + batch(ONE, NOW),
    "attributes of the broker": batch(ONE, NOW, attributes=0x08),
    "a delete horizon": batch(ONE, NOW, attributes=0x40),
    "unused attributes": batch(ONE, NOW, attributes=0x7F00),
    "a negative time": batch(ONE, -5),
    "no time": batch(ONE, -1),
    "a wrong newest time": batch(THREE, NOW, stamps=[0, 5, 3], max_time=NOW),
}

for _name, _data in BAD.items():

    @conversation(f"produce {_name}")
    def _(talk: Talk, data: bytes = _data) -> None:
        name = talk.topic()
        talk.produce(name, data)
        talk.fetch(12, name)


for _codec in (GZIP, SNAPPY, LZ4, ZSTD):

    @conversation(f"produce with codec {_codec}")
    def _(talk: Talk, codec: int = _codec) -> None:
        name = talk.topic()
        talk.produce(name, batch(THREE, NOW, codec=codec))
        talk.fetch(12, name)
        if codec == ZSTD:
            talk.produce(name, batch(THREE, NOW, codec=codec), version=6)
            talk.fetch(9, name)


for _type, _code in {"uncompressed": 0, "gzip": 1, "snappy": 2, "lz4": 3, "zstd": 4}.items():

    @conversation(f"a topic compressed with {_type}")
    def _(talk: Talk, kind: str = _type) -> None:
        name = talk.topic(compression_type=kind)
        for codec in (0, GZIP, SNAPPY, LZ4, ZSTD):
            talk.produce(name, batch([(b"k", b"v" * 1000)] * 3, NOW, stamps=[0, 7, 3], codec=codec))
        talk.fetch(12, name)
        talk.produce(name, batch(ONE, NOW) + batch(THREE, NOW + 1))
        talk.produce(name, batch(THREE, NOW, deltas=[0, 2, 4]))
        talk.produce(name, batch(ONE, NOW, max_time=NOW + 50))


def producer(talk: Talk) -> Any:
    """An idempotent producer's id and epoch."""
    asked = {"transactional_id": None, "transaction_timeout": 1000, "producer_id": -1, "producer_epoch": -1}
    while int((answer := talk.quietly(22, 4, **asked)).error_code) != 0:
        pass  # the coordinator is not there yet
    return answer


@conversation("a topic compressed, idempotent")
def _(talk: Talk) -> None:
    name = talk.topic(compression_type="zstd")
    who = producer(talk)
    for sequence in (0, 3, 0):
        talk.produce(name, batch(THREE, NOW, producer=(who.producer_id, who.producer_epoch, sequence)))
    talk.fetch(12, name)


@conversation("produce too much")
def _(talk: Talk) -> None:
    name = talk.topic(max_message_bytes=1000)
    for size in (500, 920, 933, 934, 5000):
        talk.produce(name, batch([(b"key", b"v" * size)], NOW))
    talk.produce(name, batch([(b"key", b"v" * 5000)], NOW, codec=GZIP))
    talk.produce(name, batch([(b"key", b"v" * 600)], NOW) + batch([(b"key", b"v" * 600)], NOW))
    talk.fetch(12, name)


@conversation("produce too much once it is written anew")
def _(talk: Talk) -> None:
    name = talk.topic(max_message_bytes=1000, compression_type="uncompressed")
    talk.produce(name, batch([(b"key", b"v" * 5000)], NOW, codec=GZIP))


@conversation("produce more than a segment")
def _(talk: Talk) -> None:
    name = talk.topic(segment_bytes=1 << 20, max_message_bytes=3 << 20)
    talk.produce(name, batch([(b"key", b"v" * (2 << 20))], NOW))
    talk.produce(name, batch(ONE, NOW))


@conversation("produce without a key")
def _(talk: Talk) -> None:
    for policy in ("compact", "compact,delete", "delete"):
        name = talk.topic(f"-{len(policy)}", cleanup_policy=policy)
        talk.produce(name, batch(NO_KEY, NOW))
        talk.produce(name, batch([*ONE, *NO_KEY, *ONE, *NO_KEY], NOW))
        talk.produce(name, batch([*ONE, *NO_KEY], NOW, codec=GZIP))
        talk.produce(name, batch(ONE, NOW))


@conversation("produce with a broker's time")
def _(talk: Talk) -> None:
    name = talk.topic(message_timestamp_type="LogAppendTime")
    for codec in (0, GZIP):
        talk.produce(name, batch(THREE, NOW, stamps=[0, 9, 4], codec=codec))
    for version in (3, 8):
        produce(talk, version, name, batch(ONE, NOW))
    talk.produce(name, batch(ONE, 1))
    talk.fetch(12, name)


@conversation("produce too early and too late")
def _(talk: Talk) -> None:
    before = talk.topic("-before", message_timestamp_before_max_ms=1000)
    after = talk.topic("-after", message_timestamp_after_max_ms=1000)
    distant = 4_000_000_000_000
    for name in (before, after):
        for codec in (0, GZIP):
            for time_ms in (NOW, distant, -1):
                answer = produced(talk, name, batch(THREE, time_ms, stamps=[0, 1, 2], codec=codec))
                part = answer.responses[0].partition_responses[0]
                errors = [each.batch_index for each in part.record_errors]
                said = part.error_message and part.error_message.split("timestamp")[0]
                talk.note(f"{codec} {time_ms}", [part.error_code, errors, said])
    talk.produce(talk.topic("-default"), batch(ONE, 1))


def produced(talk: Talk, name: str, data: bytes) -> Any:
    """Produce without a note: Kafka's message tells the time."""
    part = [{"name": name, "partition_data": [{"index": 0, "records": data}]}]
    return talk.quietly(PRODUCE, 11, acks=-1, timeout=10_000, topic_data=part)


@conversation("produce what the future holds by default")
def _(talk: Talk) -> None:
    part = produced(talk, talk.topic(), batch(ONE, 4_000_000_000_000)).responses[0].partition_responses[0]
    talk.note("answer", [part.error_code, [each.batch_index for each in part.record_errors]])


@conversation("produce to internal topics")
def _(talk: Talk) -> None:
    talk.quietly(10, 2, key="someone", key_type=0)
    while talk.described("__consumer_offsets").error_code:
        pass
    talk.produce("__consumer_offsets", batch(ONE, NOW))


@conversation("produce to many at once")
def _(talk: Talk) -> None:
    name = talk.topic(partitions=2)
    data = [
        {"name": name, "partition_data": [{"index": number, "records": batch(ONE, NOW)} for number in (0, 1, 2)]},
        {"name": f"{name}-unknown", "partition_data": [{"index": 0, "records": batch(ONE, NOW)}]},
    ]
    talk.ask(PRODUCE, 11, acks=1, timeout=10_000, topic_data=data)
    talk.ask(PRODUCE, 11, acks=1, timeout=10_000, topic_data=[])


@conversation("produce the same twice")
def _(talk: Talk) -> None:
    name = talk.topic()
    who = producer(talk)
    known = who.producer_id, who.producer_epoch
    for sequence in (0, 1, 0, 1, 5, 2):
        talk.produce(name, batch(ONE, NOW, producer=(*known, sequence)))
    talk.produce(name, batch(ONE, NOW, producer=(known[0], known[1] + 1, 0)))
    talk.produce(name, batch(ONE, NOW, producer=(*known, 3)))
    talk.produce(name, batch(ONE, NOW, producer=(known[0] + 1_000_000, 0, 5)))


# -- Fetch -----------------------------------------------------------------------------------

for _version in range(4, 19):

    @conversation(f"fetch v{_version}")
    def _(talk: Talk, version: int = _version) -> None:
        name = talk.topic()
        talk.fetch(version, name)
        talk.filled(name)
        for offset in (0, 1, 2, 5, 6, 7, -1):
            talk.fetch(version, name, offset)
        for level in (0, 1):
            talk.fetch(version, name, 0, isolation_level=level)
        talk.fetch(version, name, 0, partition=7)
        if version < 13:
            talk.fetch(version, f"{name}-unknown")
        else:
            talk.fetch(version, name, topic_id=NOBODY)

    @conversation(f"fetch within limits v{_version}")
    def _(talk: Talk, version: int = _version) -> None:
        name = talk.topic()
        talk.filled(name)
        for limits in ((0, 0), (1, 1), (300, 1 << 20), (1 << 20, 300), (600, 600), (700, 700), (1, 1 << 20)):
            talk.fetch(version, name, 0, max_bytes=limits[0], partition_max_bytes=limits[1])


@conversation("fetch from many partitions within limits")
def _(talk: Talk) -> None:
    name = talk.topic(partitions=3)
    for number in range(3):
        talk.filled(name, partition=number)
    for limit in (1, 290, 300, 600, 900, 1500, 5000):
        many(talk, name, [(0, 0), (1, 0), (2, 0)], max_bytes=limit)
    many(talk, name, [(0, 6), (1, 0), (2, 2)], max_bytes=1)
    many(talk, name, [(0, 0), (7, 0), (1, 99)])


def many(talk: Talk, topic: str, wanted: Any, *, version: int = 12, **facts: Any) -> Any:
    """Fetch from some (partition, offset) of a topic."""
    parts = [
        {
            "partition": number,
            "fetch_offset": offset,
            "partition_max_bytes": 1 << 20,
            "current_leader_epoch": -1,
            "log_start_offset": -1,
            "last_fetched_epoch": -1,
        }
        for number, offset in wanted
    ]
    asked = {"max_wait": 0, "min_bytes": 1, "max_bytes": 1 << 20, "session_id": 0, "session_epoch": -1, **facts}
    topics: list[dict[str, Any]] = [{"topic": topic, "partitions": parts}] if parts else []
    if version >= 13 and topics:
        topics[0]["topic_id"] = asked.pop("topic_id", None) or talk.topic_id(topic)
    forgotten = asked.pop("forgotten", [])
    return talk.ask(
        FETCH,
        version,
        replica_id=-1,
        isolation_level=asked.pop("isolation_level", 0),
        rack_id="",
        topics=topics,
        forgotten_topics_data=forgotten,
        replica_state={"replica_id": -1, "replica_epoch": -1},
        **asked,
    )


@conversation("fetch and wait in vain")
def _(talk: Talk) -> None:
    name = talk.topic()
    talk.filled(name)
    talk.fetch(12, name, 6, max_wait=50)
    talk.fetch(12, name, 0, max_wait=50, min_bytes=1 << 20)
    talk.fetch(12, name, 99, max_wait=10_000, min_bytes=1 << 20)


@conversation("fetch with an epoch")
def _(talk: Talk) -> None:
    name = talk.topic()
    talk.filled(name)
    for epoch in (0, 1, 99):
        talk.fetch(12, name, current_leader_epoch=epoch)
    for last in (0, 1, 99):
        talk.fetch(12, name, 2, last_fetched_epoch=last)


@conversation("fetch after records were deleted")
def _(talk: Talk) -> None:
    name = talk.topic()
    talk.filled(name)
    asked = [{"name": name, "partitions": [{"partition_index": 0, "offset": 3}]}]
    talk.quietly(21, 2, topics=asked, timeout=10_000)
    for offset in (2, 3, 4):
        talk.fetch(12, name, offset)


@conversation("fetch as a replica")
def _(talk: Talk) -> None:
    name = talk.topic()
    for replica in (-2, 5):
        talk.fetch(12, name, replica_id=replica)


# -- Fetch sessions --------------------------------------------------------------------------


def begun(talk: Talk, topic: str, wanted: Any, **facts: Any) -> Any:
    """The id of a new session, which is not the same in every run."""
    answer = many(talk, topic, wanted, session_epoch=0, **facts)
    session = answer.session_id
    talk.notes[-1][1]["session_id"] = session > 0
    return session


def goes_on(talk: Talk, topic: str, session: int, epoch: int, wanted: Any = (), **facts: Any) -> Any:
    answer = many(talk, topic, wanted, session_id=session, session_epoch=epoch, **facts)
    talk.notes[-1][1]["session_id"] = answer.session_id == session
    return answer


for _version in (7, 11, 12, 13, 17, 18):

    @conversation(f"a fetch session v{_version}")
    def _(talk: Talk, version: int = _version) -> None:
        name = talk.topic(partitions=3)
        for number in range(3):
            talk.filled(name, partition=number, batches=1)
        session = begun(talk, name, [(0, 0), (1, 2), (2, 2)], version=version)
        goes_on(talk, name, session, 1, version=version)
        goes_on(talk, name, session, 2, [(0, 2)], version=version)
        goes_on(talk, name, session, 3, version=version)
        talk.filled(name, partition=2, batches=1)
        goes_on(talk, name, session, 4, version=version)
        goes_on(talk, name, session, 5, [(2, 4)], version=version)
        goes_on(talk, name, session, 6, version=version)
        goes_on(talk, name, session, -1, [(0, 2)], version=version)
        goes_on(talk, name, session, 7, version=version)


@conversation("a fetch session's epochs")
def _(talk: Talk) -> None:
    name = talk.topic()
    session = begun(talk, name, [(0, 0)])
    for epoch in (5, 2, 1, 1, 2, 0):
        goes_on(talk, name, session, epoch)
    goes_on(talk, name, session, 3)
    goes_on(talk, name, 12345, 1)
    goes_on(talk, name, 0, 1)
    goes_on(talk, name, 12345, -1, [(0, 0)])


@conversation("a fetch session begins anew")
def _(talk: Talk) -> None:
    name = talk.topic()
    session = begun(talk, name, [(0, 0)])
    answer = many(talk, name, [(0, 0)], session_id=session, session_epoch=0)
    talk.notes[-1][1]["session_id"] = answer.session_id not in (0, session)
    goes_on(talk, name, session, 1)


@conversation("a fetch session of nothing")
def _(talk: Talk) -> None:
    name = talk.topic()
    begun(talk, name, [])


@conversation("a fetch session forgets")
def _(talk: Talk) -> None:
    name = talk.topic(partitions=2)
    session = begun(talk, name, [(0, 0), (1, 0)])
    talk.filled(name, batches=1)
    talk.filled(name, batches=1, partition=1)
    goes_on(talk, name, session, 1, forgotten=[{"topic": name, "partitions": [0]}])
    goes_on(talk, name, session, 2, [(0, 0)])
    goes_on(talk, name, session, 3, forgotten=[{"topic": name, "partitions": [0, 1, 7]}])
    goes_on(talk, name, session, 4)


@conversation("a fetch session with errors")
def _(talk: Talk) -> None:
    name = talk.topic()
    session = begun(talk, name, [(0, 99), (7, 0)])
    goes_on(talk, name, session, 1)
    goes_on(talk, name, session, 2, [(0, 0)])
    goes_on(talk, name, session, 3)


@conversation("a fetch session of a topic that is not there")
def _(talk: Talk) -> None:
    name = f"{talk.prefix}-later"
    session = begun(talk, name, [(0, 0)])
    goes_on(talk, name, session, 1)


@conversation("a fetch session of an id that is not there")
def _(talk: Talk) -> None:
    name = talk.topic()
    session = begun(talk, name, [(0, 0)], version=13, topic_id=NOBODY)
    goes_on(talk, name, session, 1, version=13)
    goes_on(talk, name, session, 2, [(0, 0)], version=13)


@conversation("a fetch session whose topic is deleted")
def _(talk: Talk) -> None:
    name = talk.topic()
    session = begun(talk, name, [(0, 0)], version=13)
    talk.quietly(20, 6, topics=[{"name": name, "topic_id": None}], timeout=10_000)
    goes_on(talk, name, session, 1, version=13)
    goes_on(talk, name, session, 2, version=13)


@conversation("a fetch session changes between names and ids")
def _(talk: Talk) -> None:
    name = talk.topic()
    session = begun(talk, name, [(0, 0)], version=12)
    goes_on(talk, name, session, 1, [(0, 0)], version=13)
    session = begun(talk, name, [(0, 0)], version=13)
    goes_on(talk, name, session, 1, [(0, 0)], version=12)


@conversation("a fetch session sees records go")
def _(talk: Talk) -> None:
    name = talk.topic()
    talk.filled(name)
    session = begun(talk, name, [(0, 6)])
    goes_on(talk, name, session, 1)
    asked = [{"name": name, "partitions": [{"partition_index": 0, "offset": 3}]}]
    talk.quietly(21, 2, topics=asked, timeout=10_000)
    goes_on(talk, name, session, 2)
    goes_on(talk, name, session, 3)
