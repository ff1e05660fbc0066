"""The circuit breaker against a model, and the sequences that are easily got wrong."""

from __future__ import annotations

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from syncline.kit.http.breaker import Breaker, BreakerRule, BreakerState, CircuitOpen, Permit
from tests.unit.kit.manual_clock import ManualClock

RULE = BreakerRule(window=4, rate=0.5, fewest=2, open_for=5)


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture
def breaker(clock: ManualClock) -> Breaker:
    return Breaker("orders", RULE, clock=clock)


def state(breaker: Breaker) -> BreakerState:
    """As a call, because a checker believes that an attribute keeps its value."""
    return breaker.state


def fail(breaker: Breaker, times: int = 1) -> None:
    for _ in range(times):
        breaker.enter().failed()


def test_it_opens_when_enough_of_enough_failed(breaker: Breaker) -> None:
    fail(breaker)
    assert state(breaker) is BreakerState.CLOSED
    fail(breaker)
    assert state(breaker) is BreakerState.OPEN
    with pytest.raises(CircuitOpen) as refused:
        breaker.enter()
    assert refused.value.retry_after == 5


def test_old_results_leave_the_window(breaker: Breaker) -> None:
    for _ in range(10):
        breaker.enter().succeeded()
    fail(breaker)
    assert state(breaker) is BreakerState.CLOSED
    fail(breaker)
    assert state(breaker) is BreakerState.OPEN


def test_after_the_pause_one_probe_decides(breaker: Breaker, clock: ManualClock) -> None:
    fail(breaker, 2)
    clock.now += 5
    probe = breaker.enter()
    with pytest.raises(CircuitOpen):
        breaker.enter()
    probe.failed()
    assert state(breaker) is BreakerState.OPEN
    clock.now += 5
    breaker.enter().succeeded()
    assert state(breaker) is BreakerState.CLOSED
    fail(breaker)
    assert state(breaker) is BreakerState.CLOSED, "what was before is forgotten"


def test_a_probe_nobody_waited_for_lets_the_next_one_through(breaker: Breaker, clock: ManualClock) -> None:
    fail(breaker, 2)
    clock.now += 5
    breaker.enter().abandoned()
    breaker.enter().succeeded()
    assert state(breaker) is BreakerState.CLOSED


def test_late_answers_from_before_the_opening_change_nothing(breaker: Breaker, clock: ManualClock) -> None:
    late = [breaker.enter() for _ in range(2)]
    fail(breaker, 2)
    late[0].succeeded()
    clock.now += 5
    probe = breaker.enter()
    late[1].failed()
    assert state(breaker) is BreakerState.HALF_OPEN
    probe.succeeded()
    assert state(breaker) is BreakerState.CLOSED


def test_a_permit_counts_once(breaker: Breaker) -> None:
    permit = breaker.enter()
    permit.failed()
    permit.failed()
    assert state(breaker) is BreakerState.CLOSED


@pytest.mark.parametrize("wrong", [{"fewest": 0}, {"fewest": 30}, {"rate": 0}, {"rate": 1.1}, {"open_for": 0}])
def test_a_rule_that_cannot_work_is_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(ValueError, match="must hold"):
        BreakerRule(**wrong)  # type: ignore[arg-type]


class Model(RuleBasedStateMachine):
    """Two states too many would hide here: requests overlap, answers come in any order, time jumps."""

    def __init__(self) -> None:
        super().__init__()
        self.clock = ManualClock()
        self.breaker = Breaker("s", RULE, clock=self.clock)
        self.open_since: float | None = None
        self.results: list[bool] = []
        self.era: list[Permit] = []
        self.old: list[Permit] = []
        self.probe: Permit | None = None

    def changed(self) -> None:
        self.old += self.era
        self.era = []
        self.results = []
        self.probe = None

    @rule()
    def enter(self) -> None:
        half_open = self.open_since is not None and self.clock.now >= self.open_since + RULE.open_for
        refused = self.open_since is not None and (not half_open or self.probe is not None)
        try:
            permit = self.breaker.enter()
        except CircuitOpen:
            assert refused
            return
        assert not refused
        self.era.append(permit)
        if half_open:
            self.probe = permit

    @precondition(lambda self: self.era)
    @rule(success=st.sampled_from([True, False, None]), data=st.data())
    def end(self, success: bool | None, data: st.DataObject) -> None:
        permit = data.draw(st.sampled_from(self.era))
        self.era.remove(permit)
        {True: permit.succeeded, False: permit.failed, None: permit.abandoned}[success]()
        if permit is self.probe:
            self.probe = None
            if success is not None:
                self.changed()
                self.open_since = None if success else self.clock.now
        elif success is not None:
            self.results = [*self.results, success][-RULE.window :]
            failed = self.results.count(False)
            if len(self.results) >= RULE.fewest and failed / len(self.results) >= RULE.rate:
                self.changed()
                self.open_since = self.clock.now

    @precondition(lambda self: self.old)
    @rule(success=st.sampled_from([True, False, None]))
    def end_of_an_earlier_era(self, success: bool | None) -> None:
        permit = self.old.pop()
        {True: permit.succeeded, False: permit.failed, None: permit.abandoned}[success]()

    @rule(seconds=st.floats(0, 8))
    def wait(self, seconds: float) -> None:
        self.clock.now += seconds

    @invariant()
    def closed_or_not(self) -> None:
        assert (self.breaker.state is BreakerState.CLOSED) == (self.open_since is None)


TestModel = Model.TestCase
