"""The reading thread of a sink task: polls Kafka, decodes ahead of the task, follows the group."""

from __future__ import annotations

import logging
import re
import threading
from collections.abc import Callable, Collection, Mapping
from typing import Final, Protocol

from syncline.clock import SYSTEM_CLOCK, Clock
from syncline.errors import ConfigError, ConnectError, RetriableError
from syncline.ids import TopicPartition
from syncline.kafka.ports import Consumer, KafkaRecord, Rebalance
from syncline.worker.decoding import Decoder
from syncline.worker.handoff import Batch, Handoff
from syncline.worker.metrics import SinkMetrics

log = logging.getLogger(__name__)

READ_SECONDS: Final = 0.1
"""How long a read waits for records; bounds how late a stop is noticed."""
HOLD_SECONDS: Final = 1.0
"""How long the reader waits for the task without polling; then it polls with everything paused.

Pausing throws away what librdkafka has fetched, so it is for slow tasks only. Not polling would, in the end, make
the group take the task for dead.
"""
LOOK_SECONDS: Final = 30.0
"""How often topics are matched against `topics.regex`."""
LOOK_FIRST_SECONDS: Final = 3.0
"""The same while none matches yet."""


class PartitionOwner(Protocol):
    """The task, as the reader sees it; called on the task's thread."""

    def opened(self, partitions: list[TopicPartition]) -> Mapping[TopicPartition, int]:
        """These partitions were assigned; offsets to start from other than the committed ones."""
        ...

    def closed(self, partitions: list[TopicPartition], *, lost: bool) -> None:
        """These partitions go: commit and close, or only close when they are lost already."""
        ...


class SinkReader:
    """Owns the consumer. `start` begins reading, `finish` leaves the group."""

    def __init__(
        self,
        name: str,
        consumer: Consumer,
        decoder: Decoder,
        handoff: Handoff,
        owner: PartitionOwner,
        topics: TopicChoice,
        metrics: SinkMetrics,
        *,
        count: int,
        keep_raw: bool,
        clock: Clock = SYSTEM_CLOCK,
    ) -> None:
        self._consumer = consumer
        self._decoder = decoder
        self._handoff = handoff
        self._owner = owner
        self._topics = topics
        self._metrics = metrics
        self._count = count
        self._keep_raw = keep_raw
        self._clock = clock
        self._name = name
        self._thread = threading.Thread(target=self._run, name=f"reader-{name}", daemon=True)
        self._ending = threading.Event()
        self._may_close = threading.Event()
        self._subscribed: list[str] = []
        self._next_look = 0.0
        self._owned: set[TopicPartition] = set()
        self._fresh: set[TopicPartition] = set()
        """Owned partitions of which nothing was read yet."""
        self._unsought: dict[TopicPartition, int] = {}
        """Rewinds that did not succeed yet; until then nothing read of these partitions counts."""
        self._paused: set[TopicPartition] | None = set()
        """As the consumer has it; None after a rebalance, when nobody knows."""
        self._held: frozenset[TopicPartition] = frozenset()
        self._all_held = False

    # -- from the task's thread ---------------------------------------------------------------

    def start(self) -> None:
        """Begin reading, on a thread of its own."""
        self._thread.start()

    def hold(self, partitions: Collection[TopicPartition], *, everything: bool) -> None:
        """Do not read these partitions, or none at all; membership of the group goes on."""
        self._held = frozenset(partitions)
        self._all_held = everything

    def finish(self, seconds: float) -> None:
        """Leave the group; the task has committed what it wants to. Waits at most `seconds`."""
        self._ending.set()
        self._may_close.set()
        if self._thread.ident is not None:
            self._thread.join(seconds)

    def end(self) -> None:
        """Stop reading, so that `finish` is quick; membership goes on."""
        self._ending.set()

    # -- the reader's thread ------------------------------------------------------------------

    def _run(self) -> None:
        try:
            while not self._ending.is_set():
                self._step()
        except Exception as exc:  # whatever it is fails the task, on whose thread it is raised again
            self._handoff.fail(exc)
        finally:
            self._may_close.wait()
            try:
                self._consumer.close()
            except ConnectError:
                log.exception("task %s: the consumer did not close cleanly", self._name)

    def _step(self) -> None:
        self._follow_topics()
        room = self._handoff.wait_for_room(0 if self._paused is None else HOLD_SECONDS)
        if self._ending.is_set():
            return
        hold = self._all_held or not room
        self._pause(self._owned if hold else self._held & self._owned)
        epoch, rewinds = self._handoff.begin_read()
        self._seek(rewinds)
        try:
            raws = self._consumer.read(self._count, READ_SECONDS)
        except RetriableError as exc:
            log.warning("task %s: reading goes on after an error: %s", self._name, exc)
            return
        if raws:
            self._metrics.read.record(len(raws))
            self._handoff.put(self._batch(raws, epoch))
        self._metrics.active = self._handoff.records_waiting

    def _batch(self, raws: list[KafkaRecord], epoch: int) -> Batch:
        ends = {(raw.topic, raw.partition): raw.offset + 1 for raw in raws}
        positions = {TopicPartition(*place): end for place, end in ends.items()}
        # A rebalance within the read, or a rewind that did not succeed, leaves records that must not count.
        void = {tp for tp in positions if tp not in self._owned or tp in self._unsought}
        if void:
            raws = [raw for raw in raws if TopicPartition(raw.topic, raw.partition) not in void]
            positions = {tp: end for tp, end in positions.items() if tp not in void}
        return Batch(
            records=self._decoder.decode(raws),
            positions=positions,
            starts=self._starts(raws) if self._fresh else {},
            raws=[raws] if self._keep_raw else [],
            size=sum(len(raw.value) for raw in raws if raw.value is not None),
            epoch=epoch,
        )

    def _starts(self, raws: list[KafkaRecord]) -> dict[TopicPartition, int]:
        starts: dict[TopicPartition, int] = {}
        for raw in raws:
            starts.setdefault(TopicPartition(raw.topic, raw.partition), raw.offset)
        found = {tp: offset for tp, offset in starts.items() if tp in self._fresh}
        self._fresh -= found.keys()
        return found

    def _seek(self, rewinds: Mapping[TopicPartition, int]) -> None:
        wanted = {tp: offset for tp, offset in {**self._unsought, **rewinds}.items() if tp in self._owned}
        self._unsought = {}
        for partition, offset in wanted.items():
            try:
                self._consumer.seek(partition, offset)
            except RetriableError:
                # Just assigned and not yet being fetched: the next step tries again.
                self._unsought[partition] = offset

    def _pause(self, wanted: Collection[TopicPartition]) -> None:
        wanted = set(wanted)
        if self._paused == wanted:
            return
        before = self._owned if self._paused is None else self._paused
        if resumed := (before & self._owned) - wanted:
            self._consumer.resume(resumed)
        if paused := wanted - (self._paused or set()):
            self._consumer.pause(paused)
        self._paused = wanted

    # -- the group ----------------------------------------------------------------------------

    def _follow_topics(self) -> None:
        if self._clock.monotonic() < self._next_look:
            return
        try:
            wanted = self._topics.among(self._consumer.topics) if self._topics.open_ended else self._topics.named
        except RetriableError as exc:
            log.warning("task %s: the topics of the cluster could not be listed: %s", self._name, exc)
            wanted = self._subscribed
        if wanted and wanted != self._subscribed:
            if self._topics.open_ended:
                log.info("task %s reads %s", self._name, ", ".join(wanted))
            self._consumer.subscribe(wanted, Rebalance(self._assigned, self._revoked, self._lost))
            self._subscribed = wanted
        pause = (LOOK_SECONDS if wanted else LOOK_FIRST_SECONDS) if self._topics.open_ended else float("inf")
        self._next_look = self._clock.monotonic() + pause

    def _assigned(self, partitions: list[TopicPartition]) -> Mapping[TopicPartition, int] | None:
        self._owned |= set(partitions)
        self._fresh |= set(partitions)
        self._paused = None
        return self._handoff.call(lambda: self._owner.opened(partitions))

    def _revoked(self, partitions: list[TopicPartition]) -> None:
        self._gone(partitions, lost=False)

    def _lost(self, partitions: list[TopicPartition]) -> None:
        self._gone(partitions, lost=True)

    def _gone(self, partitions: list[TopicPartition], *, lost: bool) -> None:
        self._handoff.discard(partitions)
        self._handoff.call(lambda: self._owner.closed(partitions, lost=lost))
        self._owned -= set(partitions)
        self._fresh -= set(partitions)
        self._paused = None
        for partition in partitions:
            self._unsought.pop(partition, None)


class TopicChoice:
    """Which topics a sink reads: those named, or those that match a pattern."""

    def __init__(self, config: Mapping[str, str]) -> None:
        """ConfigError unless exactly one of `topics` and `topics.regex` is given and can be used."""
        listed = (topic.strip() for topic in (config.get("topics") or "").split(","))
        self.named = list(dict.fromkeys(topic for topic in listed if topic))
        pattern = (config.get("topics.regex") or "").strip()
        if bool(self.named) == bool(pattern):
            raise ConfigError(
                {"topics": ["Must configure one of topics or topics.regex"]}
                if not pattern
                else {"topics": ["topics and topics.regex are mutually exclusive options, but both are set."]}
            )
        self.open_ended = bool(pattern)
        try:
            self._pattern = re.compile(pattern)
        except re.error as exc:
            raise ConfigError({"topics.regex": [f"Invalid regex: {exc}"]}) from exc

    def takes(self, topic: str) -> bool:
        """Whether this is one of them."""
        if not self.open_ended:
            return topic in self.named
        return not topic.startswith("__") and self._pattern.fullmatch(topic) is not None

    def among(self, topics: Callable[[], Collection[str]]) -> list[str]:
        """Those of the cluster's topics that match, sorted; Kafka's internal ones never do."""
        return sorted(filter(self.takes, topics()))
