"""Who gets the next request: the policies' shares, and how failing instances are passed over and come back."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from syncline.kit.discovery.balancer import NO_EJECTION, Balancer, Ejection, Outcome, Policy
from syncline.kit.discovery.instances import FixedDirectory, Instance
from tests.unit.kit.manual_clock import ManualClock


def made(count: int, *weights: float) -> list[Instance]:
    return [
        Instance(
            id=f"i-{number}",
            service="s",
            url=f"http://h:{number}",
            metadata={"weight": str(weights[number])} if weights else {},
        )
        for number in range(count)
    ]


def balancer(policy: Policy, **ejection: float) -> tuple[Balancer, ManualClock]:
    clock = ManualClock()
    rule = Ejection(**ejection) if ejection else None  # type: ignore[arg-type]  # whole numbers are floats
    return Balancer(policy, rule, clock=clock, chance=random.Random(7)), clock


def counted(policy: Policy, instances: Sequence[Instance], calls: int = 1000, key: str = "") -> Counter[str]:
    turns, _ = balancer(policy)
    return Counter(turns.order(instances, key)[0].id for _ in range(calls))


@given(st.sampled_from(Policy), st.integers(0, 6), st.text(max_size=5))
def test_every_policy_names_every_instance_once(policy: Policy, count: int, key: str) -> None:
    instances = made(count)
    turns, _ = balancer(policy)
    assert sorted(instance.id for instance in turns.order(instances, key)) == [i.id for i in instances]


@given(st.integers(1, 5), st.integers(1, 40))
def test_round_robin_alternates_strictly(count: int, calls: int) -> None:
    turns, _ = balancer(Policy.ROUND_ROBIN)
    firsts = [turns.order(made(count))[0].id for _ in range(calls)]
    assert firsts == [f"i-{number % count}" for number in range(calls)]


def test_random_and_two_choices_spread_evenly_over_a_thousand_calls() -> None:
    for policy in (Policy.RANDOM, Policy.TWO_CHOICES):
        assert all(400 < number < 600 for number in counted(policy, made(2)).values())


def test_weighted_is_exact_and_spread_out() -> None:
    assert counted(Policy.WEIGHTED, made(3, 5, 3, 2)) == {"i-0": 500, "i-1": 300, "i-2": 200}
    turns, _ = balancer(Policy.WEIGHTED)
    firsts = "".join(turns.order(made(2, 3, 1))[0].id[-1] for _ in range(8))
    assert firsts == "00100010"


@pytest.mark.parametrize("weight", ["", "0", "-1", "inf", "nan", "heavy"])
def test_a_weight_that_makes_no_sense_is_one(weight: str) -> None:
    assert Instance(id="a", service="s", url="u", metadata={"weight": weight}).weight == 1


def test_least_outstanding_fills_up_the_idle_one() -> None:
    turns, _ = balancer(Policy.LEAST_OUTSTANDING)
    slow, quick = instances = made(2)
    for _ in range(1000):
        first = turns.order(instances)[0]
        turns.began(first)
        if first is quick:
            turns.ended(quick, Outcome.ANSWERED)
    assert (turns.outstanding(slow), turns.outstanding(quick)) == (1, 0)


def test_two_choices_prefer_the_one_with_less_to_do() -> None:
    turns, _ = balancer(Policy.TWO_CHOICES)
    busy, idle = instances = made(2)
    turns.began(busy)
    assert {turns.order(instances)[0].id for _ in range(50)} == {idle.id}


@given(st.integers(2, 6), st.data())
def test_a_sticky_key_moves_only_when_its_instance_goes(count: int, data: st.DataObject) -> None:
    instances = made(count)
    gone = data.draw(st.sampled_from(instances))
    turns, _ = balancer(Policy.STICKY)
    left = [instance for instance in instances if instance is not gone]
    for number in range(30):
        first = turns.order(instances, str(number))[0]
        assert turns.order(instances, str(number))[0] is first
        if first is not gone:
            assert turns.order(left, str(number))[0] is first


def test_sticky_keys_are_shared_out_by_weight() -> None:
    turns, _ = balancer(Policy.STICKY)
    shares = Counter(turns.order(made(2, 3, 1), str(key))[0].id for key in range(1000))
    assert 700 < shares["i-0"] < 800


def test_an_unreachable_instance_is_ejected_at_once_and_on_probation_after() -> None:
    turns, clock = balancer(Policy.ROUND_ROBIN, failures=3, first_seconds=1, longest_seconds=4)
    bad, good = instances = made(2)
    for pause in (1, 2, 4, 4):
        turns.began(bad)
        turns.ended(bad, Outcome.UNREACHABLE)
        assert [turns.order(instances) for _ in range(3)] == [[good, bad]] * 3
        clock.now += pause - 0.01
        assert turns.is_ejected(bad)
        clock.now += 0.02
        assert not turns.is_ejected(bad)
    turns.began(bad)
    turns.ended(bad, Outcome.ANSWERED)
    turns.ended(bad, Outcome.FAILED)
    assert not turns.is_ejected(bad), "an answer ends the probation"


def test_an_instance_that_breaks_off_now_and_then_stays() -> None:
    turns, _ = balancer(Policy.ROUND_ROBIN, failures=2)
    one = made(1)[0]
    for outcome in (Outcome.FAILED, Outcome.ANSWERED, Outcome.FAILED, Outcome.ABANDONED):
        turns.began(one)
        turns.ended(one, outcome)
        assert not turns.is_ejected(one)
    turns.ended(one, Outcome.FAILED)
    assert turns.is_ejected(one)


def test_when_all_are_ejected_all_are_tried() -> None:
    turns, _ = balancer(Policy.ROUND_ROBIN)
    instances = made(3)
    turns.order(instances)
    for instance in instances:
        turns.ended(instance, Outcome.UNREACHABLE)
        turns.began(instance)
        turns.ended(instance, Outcome.UNREACHABLE)
    assert sorted(i.id for i in turns.order(instances)) == ["i-0", "i-1", "i-2"]


def test_without_ejection_nobody_is_passed_over() -> None:
    turns = Balancer(ejection=NO_EJECTION, clock=ManualClock())
    bad, _ = instances = made(2)
    turns.began(bad)
    turns.ended(bad, Outcome.UNREACHABLE)
    assert not turns.is_ejected(bad)
    assert turns.order(instances)[0] is bad


class Ejecting(RuleBasedStateMachine):
    """Any sequence of requests, results, arrivals and departures against a model of what must hold."""

    def __init__(self) -> None:
        super().__init__()
        self.clock = ManualClock()
        self.turns = Balancer(Policy.LEAST_OUTSTANDING, Ejection(failures=2), clock=self.clock)
        self.all = made(4)
        self.there = list(self.all)
        self.under_way: list[Instance] = []
        self.ejected: dict[str, tuple[int, float]] = {}

    @rule()
    def send(self) -> None:
        ordered = self.turns.order(self.there)
        assert sorted(i.id for i in ordered) == sorted(i.id for i in self.there)
        if ordered:
            if any(not self.turns.is_ejected(i) for i in self.there):
                assert not self.turns.is_ejected(ordered[0])
            self.turns.began(ordered[0])
            self.under_way.append(ordered[0])

    @precondition(lambda self: self.under_way)
    @rule(outcome=st.sampled_from(Outcome), data=st.data())
    def end(self, outcome: Outcome, data: st.DataObject) -> None:
        instance = data.draw(st.sampled_from(self.under_way))
        self.under_way.remove(instance)
        was = self.turns.is_ejected(instance)
        self.turns.ended(instance, outcome)
        if outcome is Outcome.ANSWERED:
            assert not self.turns.is_ejected(instance)
        if outcome is Outcome.UNREACHABLE:
            assert self.turns.is_ejected(instance)
        if outcome is Outcome.ABANDONED:
            assert self.turns.is_ejected(instance) == was

    @rule(data=st.data())
    def come_and_go(self, data: st.DataObject) -> None:
        self.there = data.draw(st.lists(st.sampled_from(self.all), unique_by=lambda i: i.id))

    @rule(seconds=st.floats(0, 40))
    def wait(self, seconds: float) -> None:
        self.clock.now += seconds

    @rule()
    def everybody_comes_back_in_the_end(self) -> None:
        self.clock.now += 31
        assert not any(self.turns.is_ejected(instance) for instance in self.all)

    @invariant()
    def requests_under_way_are_counted(self) -> None:
        for instance in self.all:
            assert self.turns.outstanding(instance) == self.under_way.count(instance)


TestEjecting = Ejecting.TestCase


def test_fixed_addresses_are_instances_that_are_up() -> None:
    directory = FixedDirectory({"a": ["http://h:1/", "http://h:1"]})
    assert [instance.url for instance in directory.instances("a")] == ["http://h:1", "http://h:1"]
    assert len({instance.id for instance in directory.instances("a")}) == 2
    assert directory.instances("b") == ()
