"""The records of `__consumer_offsets`, byte for byte as Kafka's tools expect them."""

from __future__ import annotations

from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from syncline.broker.group_log import java_hash
from syncline.broker.group_records import (
    Committed,
    Key,
    Kind,
    StoredConsumerGroup,
    StoredConsumerMember,
    StoredCurrent,
    StoredGroup,
    StoredMember,
    StoredRegex,
    UnreadableRecord,
    by_topic,
    decode_consumer_group,
    decode_consumer_member,
    decode_current,
    decode_group,
    decode_key,
    decode_offset,
    decode_regex,
    decode_target,
    decode_target_epoch,
    encode_consumer_group,
    encode_consumer_member,
    encode_current,
    encode_group,
    encode_key,
    encode_offset,
    encode_regex,
    encode_target,
    encode_target_epoch,
)

TOPIC = UUID("5da446f5-9531-412e-9eb8-bac6e0a5a37d")

TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
INT32 = st.integers(-(2**31), 2**31 - 1)
INT64 = st.integers(-(2**63), 2**63 - 1)
PARTITIONS = st.frozensets(st.tuples(st.uuids(), st.integers(0, 2**31 - 1)), max_size=5)


@pytest.mark.parametrize(
    ("key", "encoded"),
    [
        pytest.param(Key(Kind.OFFSET, "g", "t", 7), "0001 000167 000174 00000007", id="offset"),
        pytest.param(Key(Kind.CLASSIC_GROUP, "g"), "0002 000167", id="classic group"),
        pytest.param(Key(Kind.CONSUMER_GROUP, "g"), "0003 000167", id="consumer group"),
        pytest.param(Key(Kind.CONSUMER_MEMBER, "g", "m"), "0005 000167 00016d", id="member"),
        pytest.param(Key(Kind.TARGET_EPOCH, "g"), "0006 000167", id="target epoch"),
        pytest.param(Key(Kind.TARGET_MEMBER, "g", "m"), "0007 000167 00016d", id="target"),
        pytest.param(Key(Kind.CURRENT_MEMBER, "g", "m"), "0008 000167 00016d", id="current"),
        pytest.param(Key(Kind.REGEX, "g", "t.*"), "0010 000167 0003742e2a", id="expression"),
    ],
)
def test_keys_have_kafka_s_bytes(key: Key, encoded: str) -> None:
    assert encode_key(key) == bytes.fromhex(encoded)
    assert decode_key(bytes.fromhex(encoded)) == key


def test_keys_of_kinds_that_are_not_used_here_are_passed_over() -> None:
    assert decode_key(bytes.fromhex("0004 000167")) is None  # topics of a group, gone since Kafka 4.1
    assert decode_key(bytes.fromhex("000a 000167")) is None  # a share group


def test_the_first_version_of_an_offset_s_key_means_the_same() -> None:
    assert decode_key(bytes.fromhex("0000 000167 000174 00000007")) == Key(Kind.OFFSET, "g", "t", 7)


@pytest.mark.parametrize(
    ("committed", "encoded"),
    [
        pytest.param(Committed(5, 2, "m", 9), "0003 0000000000000005 00000002 00016d 0000000000000009", id="version 3"),
        pytest.param(
            Committed(5, -1, "m", 9, 11),
            "0001 0000000000000005 00016d 0000000000000009 000000000000000b",
            id="version 1, with the time it expires",
        ),
    ],
)
def test_offsets_have_kafka_s_bytes(committed: Committed, encoded: str) -> None:
    assert encode_offset(committed) == bytes.fromhex(encoded)
    assert decode_offset(bytes.fromhex(encoded)) == committed


@pytest.mark.parametrize(
    "encoded",
    [
        pytest.param("0000 0000000000000005 00016d 0000000000000009", id="version 0"),
        pytest.param("0002 0000000000000005 00016d 0000000000000009", id="version 2"),
        pytest.param("0004 0000000000000005 ffffffff 026d 0000000000000009 00", id="version 4"),
    ],
)
def test_other_versions_of_offsets_are_read(encoded: str) -> None:
    assert decode_offset(bytes.fromhex(encoded)) == Committed(5, -1, "m", 9)


def test_a_classic_group_has_kafka_s_bytes() -> None:
    member = StoredMember("m", "i", "c", "h", 60, 10, b"sub", b"as")
    group = StoredGroup("consumer", 3, "range", "m", 9, (member,))
    encoded = bytes.fromhex(
        "0003 0008" + b"consumer".hex() + "00000003 0005" + b"range".hex() + "00016d 0000000000000009"
        "00000001 00016d 000169 000163 000168 0000003c 0000000a 00000003" + b"sub".hex() + "000000026173"
    )
    assert encode_group(group) == encoded
    assert decode_group(encoded) == group


def test_the_first_version_of_a_group_is_read() -> None:
    encoded = "0000 000163 00000003 ffff ffff 00000001 00016d 000163 000168 0000000a 00000000 00000000"
    member = StoredMember("m", None, "c", "h", 10, 10, b"", b"")
    assert decode_group(bytes.fromhex(encoded)) == StoredGroup("c", 3, None, None, -1, (member,))


def test_the_consumer_protocol_s_records_have_kafka_s_bytes() -> None:
    assert encode_consumer_group(StoredConsumerGroup(2)) == bytes.fromhex("0000 00000002 00")
    assert encode_consumer_group(StoredConsumerGroup(2, -2)) == bytes.fromhex("0000 00000002 01 00 08 fffffffffffffffe")
    assert encode_target_epoch(2) == bytes.fromhex("0000 00000002 00")
    partitions = frozenset({(TOPIC, 1), (TOPIC, 0)})
    inside = f"02 {TOPIC.hex} 03 00000000 00000001 00"
    assert encode_target(partitions) == bytes.fromhex(f"0000 {inside} 00")
    assert encode_current(StoredCurrent(2, 1, 1, partitions, frozenset())) == bytes.fromhex(
        f"0000 00000002 00000001 01 {inside} 01 00"
    )
    member = StoredConsumerMember(None, "r", "c", "h", ("t",), "", -1, None)
    assert encode_consumer_member(member) == bytes.fromhex("0000 00 0272 0263 0268 02 0274 01 ffffffff 00 00")
    assert encode_regex(StoredRegex(("t",), 1, 2)) == bytes.fromhex("0000 02 0274 0000000000000001 0000000000000002 00")


@pytest.mark.parametrize(
    "encoded",
    [
        pytest.param("", id="nothing"),
        pytest.param("0009", id="a version of the future"),
        pytest.param("0003 00000000", id="cut short"),
        pytest.param("0003 0000000000000005 00000002 0001ff 0000000000000009", id="no UTF-8"),
        pytest.param("0003 0000000000000005 00000002 ffff 0000000000000009", id="null metadata"),
    ],
)
def test_malformed_values_are_unreadable(encoded: str) -> None:
    with pytest.raises(UnreadableRecord):
        decode_offset(bytes.fromhex(encoded))


@given(st.builds(Committed, INT64, INT32, TEXT, INT64, st.just(-1)))
def test_offsets_are_read_back(committed: Committed) -> None:
    assert decode_offset(encode_offset(committed)) == committed


@given(
    st.builds(
        StoredGroup,
        TEXT,
        INT32,
        st.none() | TEXT,
        st.none() | TEXT,
        INT64,
        st.lists(
            st.builds(
                StoredMember,
                TEXT,
                st.none() | TEXT,
                TEXT,
                TEXT,
                st.integers(0, 2**31 - 1),
                INT32,
                st.binary(),
                st.binary(),
            )
        ).map(tuple),
    )
)
def test_classic_groups_are_read_back(group: StoredGroup) -> None:
    assert decode_group(encode_group(group)) == group


@given(
    member=st.builds(
        StoredConsumerMember,
        st.none() | TEXT,
        st.none() | TEXT,
        TEXT,
        TEXT,
        st.lists(TEXT).map(tuple),
        st.none() | TEXT,
        INT32,
        st.none() | TEXT,
    ),
    current=st.builds(StoredCurrent, INT32, INT32, st.integers(0, 127), PARTITIONS, PARTITIONS),
    group=st.builds(StoredConsumerGroup, INT32, INT64),
    regex=st.builds(StoredRegex, st.lists(TEXT).map(tuple), INT64, INT64),
    epoch=INT32,
)
def test_consumer_groups_are_read_back(
    member: StoredConsumerMember,
    current: StoredCurrent,
    group: StoredConsumerGroup,
    regex: StoredRegex,
    epoch: int,
) -> None:
    assert decode_consumer_member(encode_consumer_member(member)) == member
    assert decode_current(encode_current(current)) == current
    assert decode_target(encode_target(current.assigned)) == current.assigned
    assert decode_consumer_group(encode_consumer_group(group)) == group
    assert decode_regex(encode_regex(regex)) == regex
    assert decode_target_epoch(encode_target_epoch(epoch)) == epoch


def test_partitions_are_grouped_in_order() -> None:
    assert by_topic({(TOPIC, 2), (UUID(int=1), 0), (TOPIC, 1)}) == {UUID(int=1): [0], TOPIC: [1, 2]}


@pytest.mark.parametrize(
    ("text", "number"),
    [("", 0), ("abc", 96354), ("orders-group", -403968617), ("polygenelubricants", -(2**31)), ("😀", 1772899)],
)
def test_hashes_are_java_s(text: str, number: int) -> None:
    assert java_hash(text) == number
