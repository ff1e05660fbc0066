"""Whatever producers do, and wherever the broker crashes: transactions are atomic, and a replaced producer is fenced.

    python -m tests.unit.broker.test_transactions_machine 2000

runs that many examples, each of up to fifty steps.
"""

from __future__ import annotations

import contextlib
import shutil
import sys
import tempfile
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, TypeVar

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule, run_state_machine_as_test

from syncline.broker.errors import CONCURRENT_TRANSACTIONS, NONE, UNSTABLE_OFFSET_COMMIT
from syncline.broker.records import ABORT, COMMIT
from tests.unit.broker.manual import ManualTime
from tests.unit.broker.transaction_driver import PARTITIONS, TIMEOUT_MS, TOPIC, Crash, World, group_in

T = TypeVar("T")
EXAMPLES: Final = 20
NAMES = st.sampled_from(["a", "b", "c"])
NUMBERS = st.integers(0, PARTITIONS - 1)
CRASHES = st.none() | st.integers(0, 4)
"""Appends until the broker crashes, within one request or while it starts again."""


@dataclass
class Open:
    """A transaction of which the producer has not heard that it ended."""

    values: list[str] = field(default_factory=list)
    offsets: dict[str, int] = field(default_factory=dict)
    ending: bool | None = None
    """Whether it was to be committed, if that was asked for and the answer got lost."""


@dataclass
class Client:
    """A producer as it sees itself."""

    name: str
    producer: tuple[int, int]
    second: bool
    sequences: dict[int, int] = field(default_factory=dict)
    repeat: Callable[[], bool] | None = None
    """What it has to send again, because the answer got lost."""


class Transactions(RuleBasedStateMachine):
    """Three transactional ids; each has one producer at a time, and those that were replaced go on trying."""

    def __init__(self) -> None:
        super().__init__()
        self.time = ManualTime()
        self.folder = Path(tempfile.mkdtemp(dir="/dev/shm" if Path("/dev/shm").is_dir() else None))
        self.world = World(self.folder, self.time)
        self.current: dict[str, Client] = {}
        self.unsure: list[Client] = []
        """Clients that may or may not be fenced."""
        self.fenced: list[Client] = []
        self.open: dict[str, Open] = {}
        self.committed: set[str] = set()
        self.aborted: set[str] = set()
        self.offsets: dict[str, int] = {}
        self.count = 0
        self.groups = {(name, part): group_in(self.world, part, f"group-{name}") for name in "abc" for part in (0, 1)}

    def teardown(self) -> None:
        try:
            for name in "abc":
                self._init(name, second=True, crash=None)
            self.everything_is_as_it_should_be()
            for number in range(PARTITIONS):
                partition = self.world.topics.partition(TOPIC, number)
                assert partition.last_stable_offset == partition.end_offset
        finally:
            self.world.abandon()
            self.time.close()
            shutil.rmtree(self.folder)

    def _attempt(self, ask: Callable[[], T], crash: int | None) -> T | None:
        """What is answered; None when the broker crashed, and was started again, which may need several attempts."""
        try:
            with self.world.crashing(crash):
                return ask()
        except Crash:
            self.world.abandon()
            with contextlib.suppress(Crash), self.world.crashing(crash):
                self.world.open()
                return None
            self.world.abandon()
            self.world.open()
            return None

    # -- producers come and go ----------------------------------------------------------------

    @rule(name=NAMES, second=st.booleans(), crash=CRASHES)
    def init(self, name: str, second: bool, crash: int | None) -> None:
        self._init(name, second, crash)

    def _init(self, name: str, second: bool, crash: int | None) -> None:
        before = self.current.pop(name, None)
        if before is not None:
            before.repeat = None
            self.unsure.append(before)
        for _ in range(3):  # an open transaction is aborted first
            answer = self._attempt(lambda: self.world.init(name), crash)
            if answer is None:
                return
            code, *producer = answer
            if code != CONCURRENT_TRANSACTIONS:
                break
        assert code == NONE
        self._resolve(name)
        self.fenced += [client for client in self.unsure if client.name == name]
        self.unsure = [client for client in self.unsure if client.name != name]
        self.current[name] = Client(name, (producer[0], producer[1]), second)

    @rule(crash=CRASHES)
    def time_out(self, crash: int | None) -> None:
        """More time passes than any transaction may take."""
        self.time.advance(TIMEOUT_MS / 1000 + 1)
        for name, transaction in self.open.items():
            client = self.current.pop(name, None)
            if client is not None:
                client.repeat = None
                sure = transaction.ending is None and bool(transaction.values or transaction.offsets)
                (self.fenced if sure and crash is None else self.unsure).append(client)

        def expire() -> bool:
            self.world.transactions.expire()
            return True

        if self._attempt(expire, crash):
            for name in list(self.open):
                self._resolve(name)

    @rule()
    def restart(self) -> None:
        self.world.restart()

    # -- what they do -------------------------------------------------------------------------

    def _able(self) -> list[str]:
        return sorted(name for name, client in self.current.items() if client.repeat is None)

    @precondition(lambda self: self._able())
    @rule(data=st.data(), number=NUMBERS, crash=CRASHES)
    def write(self, data: st.DataObject, number: int, crash: int | None) -> None:
        client = self.current[data.draw(st.sampled_from(self._able()))]
        self.count += 1
        value, sequence = f"{client.name}{self.count}", client.sequences.get(number, 0)

        def send() -> bool:
            assert self._send(client, number, sequence, value) == NONE
            client.sequences[number] = sequence + 1
            self.open[client.name].values.append(value)
            return True

        self._do(client, send, crash)

    def _send(self, client: Client, number: int, sequence: int, value: str) -> int:
        if client.second:
            return self.world.produce(client.name, client.producer, number, sequence, value, 12)
        added = self.world.add(client.name, client.producer, number)
        return added or self.world.produce(client.name, client.producer, number, sequence, value, 11)

    @precondition(lambda self: self._able())
    @rule(data=st.data(), part=NUMBERS, crash=CRASHES)
    def send_offsets(self, data: st.DataObject, part: int, crash: int | None) -> None:
        client = self.current[data.draw(st.sampled_from(self._able()))]
        self.count += 1
        group, offset = self.groups[client.name, part], self.count

        def send() -> bool:
            assert self._send_offsets(client, group, offset) == NONE
            self.open[client.name].offsets[group] = offset
            return True

        self._do(client, send, crash)

    def _send_offsets(self, client: Client, group: str, offset: int) -> int:
        if client.second:
            return self.world.offsets(client.name, client.producer, group, offset, 5)
        added = self.world.add_offsets(client.name, client.producer, group)
        return added or self.world.offsets(client.name, client.producer, group, offset, 3)

    @precondition(lambda self: any(name in self.open for name in self._able()))
    @rule(data=st.data(), commits=st.booleans(), crash=CRASHES)
    def end(self, data: st.DataObject, commits: bool, crash: int | None) -> None:
        name = data.draw(st.sampled_from(sorted(set(self._able()) & set(self.open))))
        client, transaction = self.current[name], self.open[name]

        def send() -> bool:
            transaction.ending = commits
            code, *producer = self.world.end(name, client.producer, commits, 5 if client.second else 4)
            assert code == NONE
            self._resolve(name)
            assert transaction.values == [v for v in transaction.values if v in self.committed] or not commits
            if client.second:
                client.producer, client.sequences = (producer[0], producer[1]), {}
            return True

        self._do(client, send, crash)

    def _do(self, client: Client, send: Callable[[], bool], crash: int | None) -> None:
        self.open.setdefault(client.name, Open())
        client.repeat = None if self._attempt(send, crash) else send

    @precondition(lambda self: any(client.repeat for client in self.current.values()))
    @rule(data=st.data(), crash=CRASHES)
    def send_again(self, data: st.DataObject, crash: int | None) -> None:
        waiting = sorted(name for name, client in self.current.items() if client.repeat is not None)
        client = self.current[data.draw(st.sampled_from(waiting))]
        assert client.repeat is not None
        self._do(client, client.repeat, crash)

    @precondition(lambda self: self.fenced)
    @rule(data=st.data(), number=NUMBERS)
    def replaced_producers_are_refused(self, data: st.DataObject, number: int) -> None:
        client = data.draw(st.sampled_from(self.fenced))
        for sequence in {0, client.sequences.get(number, 0)}:
            assert self._send(client, number, sequence, "never") != NONE
            assert self.world.produce(client.name, client.producer, number, sequence, "never", 11) != NONE
        assert self._send_offsets(client, self.groups[client.name, number], 1_000_000) != NONE
        assert self.world.end(client.name, client.producer, True, 5 if client.second else 4)[0] != NONE

    # -- what becomes of it -------------------------------------------------------------------

    def _resolve(self, name: str) -> None:
        """A transaction has ended: as a whole, and, if it is known what was wanted, in that way."""
        transaction = self.open.pop(name, None)
        if transaction is None:
            return
        kinds = {
            kind
            for part in range(PARTITIONS)
            for _, value, kind in self.world.written(part)
            if value in transaction.values
        }
        for group, offset in transaction.offsets.items():
            found = self.world.committed(group, stable=True)
            assert found in ((NONE, offset), (NONE, self.offsets.get(group, -1)))
            kinds.add(COMMIT if found[1] == offset else ABORT)
        assert len(kinds) <= 1, "some of the transaction counts, some does not"
        if transaction.ending is not True:
            assert COMMIT not in kinds
        if COMMIT in kinds:
            self.committed.update(transaction.values)
            self.offsets.update(transaction.offsets)
        else:
            self.aborted.update(transaction.values)

    @invariant()
    def everything_is_as_it_should_be(self) -> None:
        written: list[str] = []
        undecided = {value for each in self.open.values() if each.ending is None for value in each.values}
        for number in range(PARTITIONS):
            shown, stable = self.world.fetched(number)
            found = list(self.world.written(number))
            written += [value for _, value, _ in found]
            unended = [offset for offset, _, kind in found if kind is None]
            assert stable == min([*unended, self.world.topics.partition(TOPIC, number).end_offset])
            assert shown == [value for offset, value, kind in found if offset < stable and kind == COMMIT]
            assert not undecided & set(shown)
            for _, value, kind in found:
                assert value not in self.committed or kind == COMMIT
                assert value not in self.aborted or kind == ABORT
        assert len(written) == len(set(written)), "a record is there twice"
        assert self.committed <= set(written), "a committed record is lost"

    @invariant()
    def offsets_count_from_the_commit_on(self) -> None:
        for (name, _), group in self.groups.items():
            transaction = self.open.get(name, Open())
            before, pending = self.offsets.get(group, -1), transaction.offsets.get(group)
            if transaction.ending is True and pending is not None:
                assert self.world.committed(group, stable=False)[1] in (before, pending)
                continue
            assert self.world.committed(group, stable=False) == (NONE, before)
            client = self.current.get(name)
            if transaction.ending is None and client is not None and client.repeat is None:
                code, _ = self.world.committed(group, stable=True)
                assert code == (NONE if pending is None else UNSTABLE_OFFSET_COMMIT)


TestTransactions = Transactions.TestCase
TestTransactions.settings = settings(
    max_examples=EXAMPLES, stateful_step_count=30, deadline=None, suppress_health_check=list(HealthCheck)
)

if __name__ == "__main__":
    run_state_machine_as_test(
        Transactions,
        settings=settings(
            max_examples=int(sys.argv[1]),
            stateful_step_count=50,
            deadline=None,
            suppress_health_check=list(HealthCheck),
        ),
    )
