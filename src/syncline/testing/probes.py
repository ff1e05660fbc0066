"""Connectors that tests look into: a source that emits what it is told to, a sink that remembers what it got.

    probe = ProbeSink()
    plugins = Plugins([*installed.all, probe.plugin()])
    ...
    assert probe.received(3) == [...]          # waits for three records, at most PATIENCE seconds

Every call of a task is noted in `calls` as its name and a few facts. A probe set to fail does so once per entry of
`put_errors` or `poll_errors`, in order.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any, Final, Generic, TypeVar

from syncline.api import (
    Connector,
    ConnectorContext,
    Plugin,
    PluginKind,
    SinkConnector,
    SinkContext,
    SinkTask,
    SourceConnector,
    SourceContext,
    SourceTask,
)
from syncline.data import SinkRecord, SourceRecord
from syncline.ids import TopicPartition

T = TypeVar("T")
P = TypeVar("P", bound="Probe")

PATIENCE: Final = 20.0
"""Seconds a probe waits for what a test expects."""
PROBE_SINK: Final = "io.syncline.testing.ProbeSinkConnector"
PROBE_SOURCE: Final = "io.syncline.testing.ProbeSourceConnector"


class Probe:
    """What both probes share: a record of calls that can be waited on."""

    def __init__(self) -> None:
        self.changed = threading.Condition()
        self.calls: list[tuple[Any, ...]] = []
        self.connectors: list[Connector] = []
        self.context: ConnectorContext | None = None
        """Of the connector started last."""
        self.connector_error: Exception | None = None
        """Raised by the connector's `start`."""
        self.make_configs: Callable[[Mapping[str, str], int], list[dict[str, str]]] = lambda config, most: [
            dict(config) for _ in range(most)
        ]

    def note(self, *call: Any) -> None:
        """Remember a call."""
        with self.changed:
            self.calls.append(call)
            self.changed.notify_all()

    def wait(self, condition: Callable[[], T], what: str = "the probe to see what the test expects") -> T:
        """The first true result of `condition`, looked at again after each call."""
        with self.changed:
            if not self.changed.wait_for(condition, PATIENCE):
                raise AssertionError(f"waited {PATIENCE:.0f} s for {what}; calls so far: {self.calls[-20:]}")
            return condition()

    def names(self) -> list[str]:
        """The names of the calls so far."""
        with self.changed:
            return [call[0] for call in self.calls]

    def wait_call(self, name: str, count: int = 1) -> None:
        """Wait until a call was made so many times."""
        self.wait(lambda: sum(call[0] == name for call in self.calls) >= count, f"{count} calls of {name}")


class ProbeSink(Probe):
    """A sink connector and its tasks."""

    def __init__(self) -> None:
        super().__init__()
        self.records: list[SinkRecord] = []
        """What `put` took, in order; a list that failed is not in here."""
        self.put_errors: list[Exception | None] = []
        self.flush_errors: list[Exception | None] = []
        self.on_put: Callable[[ProbeSinkTask, list[SinkRecord]], None] = lambda task, records: None
        """Runs in `put`, before the records are taken."""
        self.on_open: Callable[[ProbeSinkTask, Collection[TopicPartition]], None] = lambda task, partitions: None
        self.tasks: list[ProbeSinkTask] = []

    def plugin(self) -> Plugin:
        """For `Plugins`."""
        return Plugin(PluginKind.SINK, PROBE_SINK, "1.0", lambda: ProbeSinkConnector(self))

    def received(self, count: int) -> list[Any]:
        """The values of the first `count` records or more, once they are there."""
        self.wait(lambda: len(self.records) >= count, f"{count} records")
        with self.changed:
            return [record.value for record in self.records]


class ProbeConnector(Generic[P]):
    """What the connectors of both directions do: they tell their probe."""

    def __init__(self, probe: P) -> None:
        self._probe = probe
        self._config: Mapping[str, str] = {}

    def start(self, config: Mapping[str, str], context: ConnectorContext) -> None:
        self._config = config
        self._probe.context = context
        self._probe.note("connector.start")
        if self._probe.connector_error is not None:
            raise self._probe.connector_error

    def task_configs(self, max_tasks: int) -> list[dict[str, str]]:
        return self._probe.make_configs(self._config, max_tasks)

    def stop(self) -> None:
        self._probe.note("connector.stop")


class ProbeSinkConnector(ProbeConnector[ProbeSink], SinkConnector):
    task_class = "io.syncline.testing.ProbeSinkTask"

    def make_task(self) -> SinkTask:
        return ProbeSinkTask(self._probe)


class ProbeSinkTask(SinkTask):
    """Notes that every call comes from one thread."""

    def __init__(self, probe: ProbeSink) -> None:
        self._probe = probe
        self.context: SinkContext
        self.threads: set[int] = set()
        probe.tasks.append(self)

    def _note(self, *call: Any) -> None:
        self.threads.add(threading.get_ident())
        self._probe.note(*call)

    def start(self, config: Mapping[str, str], context: SinkContext) -> None:
        self.context = context
        self._note("start", dict(config))

    def open(self, partitions: Collection[TopicPartition]) -> None:
        self._note("open", sorted(partitions))
        self._probe.on_open(self, partitions)

    def put(self, records: list[SinkRecord]) -> None:
        self._note("put", len(records))
        self._probe.on_put(self, records)
        if records and self._probe.put_errors:
            error = self._probe.put_errors.pop(0)
            if error is not None:
                raise error
        with self._probe.changed:
            self._probe.records += records
            self._probe.changed.notify_all()

    def flush(self) -> None:
        self._note("flush")
        if self._probe.flush_errors:
            error = self._probe.flush_errors.pop(0)
            if error is not None:
                raise error

    def close(self, partitions: Collection[TopicPartition]) -> None:
        self._note("close", sorted(partitions))

    def stop(self) -> None:
        self._note("stop")


class ProbeSource(Probe):
    """A source connector and its tasks."""

    def __init__(self) -> None:
        super().__init__()
        self._batches: list[Sequence[SourceRecord]] = []
        self.poll_errors: list[Exception | None] = []
        self.offsets_read: list[Any] = []
        """Answers of the offset reader to `ask_for` at each start."""
        self.ask_for: Sequence[Mapping[str, Any]] = ()
        self.allow_offsets: Callable[[Sequence[Any]], bool] = lambda offsets: True

    def plugin(self) -> Plugin:
        """For `Plugins`."""
        return Plugin(PluginKind.SOURCE, PROBE_SOURCE, "1.0", lambda: ProbeSourceConnector(self))

    def emit(self, *records: SourceRecord) -> None:
        """Have the next `poll` return these."""
        with self.changed:
            self._batches.append(records)
            self.changed.notify_all()

    def next_batch(self, stopping: threading.Event) -> Sequence[SourceRecord] | None:
        with self.changed:
            if self.changed.wait_for(lambda: self._batches or stopping.is_set(), 0.2) and self._batches:
                return self._batches.pop(0)
            return None


class ProbeSourceConnector(ProbeConnector[ProbeSource], SourceConnector):
    task_class = "io.syncline.testing.ProbeSourceTask"

    def make_task(self) -> SourceTask:
        return ProbeSourceTask(self._probe)

    def alter_offsets(
        self, config: Mapping[str, str], offsets: Sequence[tuple[Mapping[str, Any], Mapping[str, Any] | None]]
    ) -> bool:
        self._probe.note("alter_offsets", list(offsets))
        return self._probe.allow_offsets(offsets)


class ProbeSourceTask(SourceTask):
    def __init__(self, probe: ProbeSource) -> None:
        self._probe = probe
        self._stopping = threading.Event()

    def start(self, config: Mapping[str, str], context: SourceContext) -> None:
        self._probe.offsets_read.append(context.offsets.offsets(self._probe.ask_for))
        self._probe.note("start", dict(config))

    def poll(self) -> Sequence[SourceRecord] | None:
        if self._probe.poll_errors:
            error = self._probe.poll_errors.pop(0)
            if error is not None:
                self._probe.note("poll failed")
                raise error
        records = self._probe.next_batch(self._stopping)
        self._probe.note("poll", len(records or ()))
        return records

    def commit(self) -> None:
        self._probe.note("commit")

    def stop(self) -> None:
        self._stopping.set()
        self._probe.note("stop")

    def close(self) -> None:
        self._probe.note("close")
