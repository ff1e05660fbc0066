"""The broker's own assignors: everything is read, by one member, evenly, and stays where it can."""

from __future__ import annotations

from collections import Counter
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from syncline.broker.assignors import ASSIGNORS, Assignor, Subscriber, assign_range, assign_uniform
from syncline.broker.group_records import Partitions

A, B, C = (UUID(int=number) for number in (1, 2, 3))


def subscribers(**topics: set[UUID]) -> dict[str, Subscriber]:
    return {member: Subscriber(frozenset(found)) for member, found in topics.items()}


def numbers(assigned: Partitions, topic: UUID = A) -> list[int]:
    return sorted(number for found, number in assigned if found == topic)


def test_range_gives_neighbours_and_the_first_members_one_more() -> None:
    found = assign_range(subscribers(a={A, B}, b={A, B}), {A: 3, B: 4})
    assert (numbers(found["a"]), numbers(found["b"])) == ([0, 1], [2])
    assert (numbers(found["a"], B), numbers(found["b"], B)) == ([0, 1], [2, 3])


def test_range_puts_static_members_first_by_instance() -> None:
    members = {
        "zz": Subscriber(frozenset({A}), instance_id="i1"),
        "bb": Subscriber(frozenset({A}), instance_id="i2"),
        "aa": Subscriber(frozenset({A})),
    }
    found = assign_range(members, {A: 3})
    assert [numbers(found[member]) for member in ("zz", "bb", "aa")] == [[0], [1], [2]]


def test_range_gives_a_topic_to_its_subscribers_only() -> None:
    found = assign_range(subscribers(a={A}, b={A, B}), {A: 2, B: 2})
    assert (numbers(found["a"]), numbers(found["b"]), numbers(found["b"], B)) == ([0], [1], [0, 1])


def test_uniform_moves_no_more_than_it_must_for_a_newcomer() -> None:
    first = assign_uniform(subscribers(a={A}, b={A}), {A: 6})
    members = {member: Subscriber(frozenset({A}), first.get(member, frozenset())) for member in ("a", "b", "c")}
    second = assign_uniform(members, {A: 6})
    assert [len(second[member]) for member in "abc"] == [2, 2, 2]
    assert second["a"] < first["a"]
    assert second["b"] < first["b"]


def test_uniform_evens_out_over_members_in_between() -> None:
    """a and c share no topic: c gets its second partition from b, which gets one from a."""
    members = {
        "a": Subscriber(frozenset({A}), frozenset((A, number) for number in range(3))),
        "b": Subscriber(frozenset({A, B}), frozenset((B, number) for number in range(2))),
        "c": Subscriber(frozenset({B}), frozenset({(B, 2)})),
    }
    found = assign_uniform(members, {A: 3, B: 3})
    assert [len(found[member]) for member in "abc"] == [2, 2, 2]


@pytest.mark.parametrize("assignor", ASSIGNORS.values(), ids=ASSIGNORS)
def test_more_members_than_partitions_leaves_some_idle(assignor: Assignor) -> None:
    found = assignor(subscribers(a={A}, b={A}, c={A}), {A: 2})
    assert sorted(len(places) for places in found.values()) == [0, 1, 1]


@pytest.mark.parametrize("assignor", ASSIGNORS.values(), ids=ASSIGNORS)
def test_nobody_and_nothing_are_fine(assignor: Assignor) -> None:
    assert assignor({}, {A: 1}) == {}
    assert assignor(subscribers(a=set()), {}) == {"a": frozenset()}


COUNTS = st.fixed_dictionaries({A: st.integers(0, 7), B: st.integers(0, 7), C: st.integers(0, 7)})
TOPICS = st.frozensets(st.sampled_from([A, B, C]))
PLACES = st.frozensets(st.tuples(st.sampled_from([A, B, C]), st.integers(0, 8)))


@given(
    counts=COUNTS,
    members=st.dictionaries(st.text("abcdef", min_size=1), st.tuples(TOPICS, PLACES), max_size=6),
    assignor=st.sampled_from(list(ASSIGNORS.values())),
)
def test_every_subscribed_partition_has_one_reader(
    counts: dict[UUID, int],
    members: dict[str, tuple[frozenset[UUID], Partitions]],
    assignor: Assignor,
) -> None:
    asked = {member: Subscriber(topics, current) for member, (topics, current) in members.items()}
    found = assignor(asked, counts)
    assert found.keys() == asked.keys()
    readers = Counter(place for places in found.values() for place in places)
    wanted = {topic for one in asked.values() for topic in one.topics}
    assert set(readers) == {(t, number) for t in wanted for number in range(counts[t])}
    assert all(count == 1 for count in readers.values())
    assert all(topic in asked[member].topics for member, places in found.items() for topic, _ in places)


@given(counts=COUNTS, currents=st.lists(PLACES, min_size=1, max_size=6))
def test_uniform_is_even_and_gives_up_no_more_than_the_excess(
    counts: dict[UUID, int], currents: list[Partitions]
) -> None:
    every = frozenset({A, B, C})
    taken: set[tuple[UUID, int]] = set()
    asked = {}
    for number, current in enumerate(currents):
        valid = frozenset(place for place in current - taken if place[1] < counts[place[0]])
        taken |= valid
        asked[str(number)] = Subscriber(every, valid)
    found = assign_uniform(asked, counts)
    sizes = [len(places) for places in found.values()]
    assert max(sizes) - min(sizes) <= 1
    total, members = sum(counts.values()), len(currents)
    quotas = sorted((total // members + (rank < total % members) for rank in range(members)), reverse=True)
    loads = sorted((len(one.current) for one in asked.values()), reverse=True)
    least = sum(max(load - quota, 0) for load, quota in zip(loads, quotas, strict=True))
    assert sum(len(asked[member].current - found[member]) for member in asked) == least
