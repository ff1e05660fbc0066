"""One node: starts and stops connectors and tasks, each on threads of its own."""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterable, Mapping
from typing import Any, Final, Protocol

from syncline.api import ConnectorContext, OffsetReader, PluginKind, SinkConnector, SourceConnector
from syncline.clock import SYSTEM_CLOCK, Clock
from syncline.errors import ConfigError, ConnectError, trace_of
from syncline.ids import ConnectorName, TaskId, TopicPartition
from syncline.kafka.client import KAFKA
from syncline.kafka.config import poll_records
from syncline.kafka.ports import Kafka, KafkaRecord
from syncline.stores.offsets import ConnectorOffsets, OffsetStore
from syncline.worker.clients import Clients, Config, group_of, sink_group
from syncline.worker.connector import RunningConnector
from syncline.worker.decoding import Decoder
from syncline.worker.dlq import DeadLetters, DeadLetterSettings
from syncline.worker.encoding import Encoder
from syncline.worker.metrics import (
    ConnectorFacts,
    ErrorMetrics,
    SinkMetrics,
    SourceMetrics,
    TaskFacts,
    WorkerMetrics,
    prometheus,
)
from syncline.worker.offset_requests import Given, OffsetRequests
from syncline.worker.pipeline import Chain, chain_of, converters_of
from syncline.worker.plugins import Plugins
from syncline.worker.settings import WorkerSettings
from syncline.worker.sink_task import SinkLoop, SinkParts
from syncline.worker.source_task import SourceLoop, SourceParts
from syncline.worker.states import State, TargetState
from syncline.worker.task import RunningTask
from syncline.worker.tolerance import LogReporter, Tolerance
from syncline.worker.topic_creation import TopicPlans

__all__ = ["StatusListener", "Worker", "group_of", "sink_group"]

log = logging.getLogger(__name__)

TASK_CLASS: Final = "task.class"
REREAD_SECONDS: Final = 10


class StatusListener(Protocol):
    """Hears what becomes of connectors and tasks; called from their threads, and should not block for long."""

    def connector_state(self, name: ConnectorName, state: State, trace: str | None) -> None:
        """The connector is in `state` now; `trace` only with FAILED."""
        ...

    def task_state(self, task: TaskId, state: State, trace: str | None) -> None:
        """The task is in `state` now; `trace` only with FAILED."""
        ...

    def requested_reconfiguration(self, name: ConnectorName) -> None:
        """The connector wants its tasks' configurations made anew."""
        ...

    def topic_active(self, name: ConnectorName, topic: str, task: int) -> None:
        """A task of the connector read from, or wrote to, a topic; told once per task, and after `forget_topics`."""
        ...


class Worker:
    """Runs what a herder tells it to. The herder calls from one thread at a time; reading metrics is free."""

    def __init__(
        self,
        settings: WorkerSettings,
        plugins: Plugins,
        offsets: OffsetStore,
        status: StatusListener,
        clock: Clock = SYSTEM_CLOCK,
        *,
        kafka: Kafka = KAFKA,
    ) -> None:
        self.settings = settings
        self.plugins = plugins
        self.offsets = offsets
        self._status = status
        self._clock = clock
        self._clients = Clients(settings, kafka)
        self._offset_requests = OffsetRequests(plugins, offsets, self._clients.admin)
        self._connectors: dict[ConnectorName, RunningConnector] = {}
        self._tasks: dict[TaskId, RunningTask] = {}
        self._counts = WorkerMetrics()

    def start(self) -> None:
        """Open the offset store; ConnectError when what it holds cannot be read."""
        self.offsets.start()

    def stop(self) -> None:
        """Stop all tasks, then all connectors, within the graceful budget of each kind."""
        self.stop_tasks(list(self._tasks))
        for name in list(self._connectors):
            self.stop_connector(name)
        self.offsets.stop()

    # -- connectors ---------------------------------------------------------------------------

    def start_connector(self, name: ConnectorName, config: Config, target: TargetState) -> None:
        """Start a connector, or make it ready when `target` is PAUSED or STOPPED; its state is reported.

        `config` is resolved: no `${...}` is left. Raises what the connector raised, after it was reported FAILED.
        """
        if name in self._connectors:
            raise ConnectError(f"Connector with name {name} already exists")
        self._counts.connector_starts += 1
        try:
            plugin = self.plugins.connector(config.get("connector.class", ""))
            running = RunningConnector(name, plugin, config, self._context, self._status.connector_state)
        except Exception as exc:
            self._counts.connector_start_failures += 1
            self._status.connector_state(name, State.FAILED, trace_of(exc))
            raise
        self._connectors[name] = running
        log.info("starting connector %s of type %s", name, plugin.java_class)
        try:
            running.start(target)
        except Exception:
            self._counts.connector_start_failures += 1
            raise

    def _context(self, connector: RunningConnector) -> ConnectorContext:
        return _ConnectorContext(connector, self._status, self.offsets)

    def stop_connector(self, name: ConnectorName) -> None:
        """Stop a connector, if it is here: UNASSIGNED is reported. One that hangs is left alone after a while."""
        running = self._connectors.pop(name, None)
        if running is not None:
            running.end(self.settings.options.shutdown_ms / 1000)

    def connector_runs(self, name: ConnectorName) -> bool:
        """Whether there is an instance here that did not fail."""
        running = self._connectors.get(name)
        return running is not None and running.state is not State.FAILED

    def set_target(self, name: ConnectorName, target: TargetState) -> None:
        """Pause, resume or stop the connector and its tasks here; FAILED ones stay as they are, but for a stop.

        Raises what the connector raised; its tasks have their target all the same.
        """
        for task in self._tasks.values():
            if task.id.connector == name:
                task.loop.set_target(target)
        running = self._connectors.get(name)
        if running is not None:
            running.set_target(target)

    def task_configs(self, name: ConnectorName, config: Config, max_tasks: int | None = None) -> list[dict[str, str]]:
        """One configuration per task, as the running connector splits its work into at most `max_tasks`.

        Without `max_tasks` the configuration's `tasks.max` counts. When the connector makes more and
        `tasks.max.enforce` is on, it is FAILED and ConnectError raised.
        """
        running = self._connectors.get(name)
        if running is None:
            raise ConnectError(f"Connector {name} not found in this worker.")
        most = _tasks_max(config) if max_tasks is None else max_tasks
        made = running.task_configs(most)
        try:
            _check_tasks_max(name, config, len(made), most)
        except ConnectError as exc:
            running.fail(exc)
            raise
        instance = self.plugins.connector(config.get("connector.class", "")).factory()
        extra = {TASK_CLASS: instance.task_class}
        if running.plugin.kind is PluginKind.SINK:
            extra |= {key: config[key] for key in ("topics", "topics.regex") if config.get(key)}
        return [{**task, **extra} for task in made]

    # -- tasks --------------------------------------------------------------------------------

    def start_task(
        self,
        task_id: TaskId,
        connector_config: Config,
        task_config: Config,
        target: TargetState,
        *,
        task_count: int | None = None,
    ) -> None:
        """Start a task on a thread of its own, from where its state is reported.

        `task_count` is the size of the task's set, to be checked against `tasks.max`. Raises, after reporting
        FAILED, when the task cannot even be made.
        """
        if task_id in self._tasks:
            raise ConnectError(f"Task already exists in this worker: {task_id}")
        self._counts.task_starts += 1
        try:
            if task_count is not None:
                _check_tasks_max(task_id.connector, connector_config, task_count, _tasks_max(connector_config))
            task = self._make_task(task_id, {**connector_config, **task_config}, target)
        except Exception as exc:
            self._counts.task_start_failures += 1
            self._status.task_state(task_id, State.FAILED, trace_of(exc))
            raise
        self._tasks[task_id] = task
        log.info("starting task %s", task_id)
        task.start()

    def stop_tasks(self, ids: Iterable[TaskId]) -> None:
        """Stop tasks together, within one budget; late ones are abandoned and no longer heard."""
        ending = [task for task in (self._tasks.pop(task_id, None) for task_id in ids) if task is not None]
        for task in ending:
            task.request_stop()
        deadline = self._clock.monotonic() + self.settings.options.shutdown_ms / 1000
        for task in ending:
            if not task.join(deadline - self._clock.monotonic()):
                log.error("Graceful stop of task %s failed.", task.id)
                task.abandon()

    def forget_topics(self, name: ConnectorName) -> None:
        """Have the connector's tasks tell again which topics they use, as they use them."""
        for task in list(self._tasks.values()):
            if task.id.connector == name:
                task.loop.forget_topics()

    def connectors(self) -> list[ConnectorName]:
        """Connectors that were started here and not stopped, failed ones too."""
        return sorted(self._connectors)

    def tasks_of(self, name: ConnectorName) -> list[TaskId]:
        """Tasks of the connector that were started here and not stopped, failed ones too."""
        return sorted(task for task in self._tasks if task.connector == name)

    def _make_task(self, task_id: TaskId, config: Config, target: TargetState) -> RunningTask:
        plugin = self.plugins.connector(config.get("connector.class", ""))
        connector = plugin.factory()
        errors = ErrorMetrics()
        stopping = threading.Event()
        tolerance = Tolerance(config, errors, stopping=stopping, clock=self._clock)
        if tolerance.settings.log:
            tolerance.reporters.append(LogReporter(str(task_id), tolerance.settings, errors))
        make = self._sink if plugin.kind is PluginKind.SINK else self._source
        loop = make(task_id, connector, config, tolerance, target, stopping)
        return RunningTask(task_id, loop, errors, self._status.task_state)

    def _sink(
        self,
        task_id: TaskId,
        connector: SinkConnector,
        config: Config,
        tolerance: Tolerance,
        target: TargetState,
        stopping: threading.Event,
    ) -> SinkLoop:
        options = self.settings.options
        letters = DeadLetterSettings.of(config)
        return SinkLoop(
            task_id,
            config,
            SinkParts(
                task=connector.make_task,
                consumer=lambda: self._clients.sink_consumer(task_id, config),
                decoder=lambda: Decoder(
                    converters_of(self.plugins, self.settings, config),
                    Chain(chain_of(self.plugins, config), tolerance),
                    tolerance,
                ),
                letters=lambda: self._letters(task_id, config, letters, tolerance.metrics) if letters.topic else None,
                tolerance=tolerance,
                reread=lambda place, offset: self._reread(task_id, config, place, offset),
                topic_active=lambda topic: self._status.topic_active(task_id.connector, topic, task_id.index),
            ),
            target=target,
            poll_records=_poll_records(self._clients.sink_properties(task_id, config)),
            flush_ms=options.offset_flush_ms,
            flush_timeout_ms=options.offset_flush_timeout_ms,
            stopping=stopping,
            clock=self._clock,
        )

    def _letters(
        self, task_id: TaskId, config: Config, settings: DeadLetterSettings, metrics: ErrorMetrics
    ) -> DeadLetters:
        return DeadLetters(
            task_id,
            settings,
            metrics,
            producer=lambda: self._clients.dead_letter_producer(task_id, config),
            admin=lambda: self._clients.admin(config, task_id),
        )

    def _reread(self, task_id: TaskId, config: Config, place: TopicPartition, offset: int) -> KafkaRecord | None:
        """One record as it stands in Kafka; None when it is gone."""
        consumer = self._clients.rereading_consumer(task_id, config)
        try:
            consumer.assign({place: offset})
            deadline = self._clock.monotonic() + REREAD_SECONDS
            while self._clock.monotonic() < deadline:
                for record in consumer.read(1, 0.5):
                    return record if record.offset == offset else None
            return None
        finally:
            consumer.close()

    def _source(
        self,
        task_id: TaskId,
        connector: SourceConnector,
        config: Config,
        tolerance: Tolerance,
        target: TargetState,
        stopping: threading.Event,
    ) -> SourceLoop:
        options = self.settings.options
        return SourceLoop(
            task_id,
            config,
            SourceParts(
                task=connector.make_task,
                producer=lambda: self._clients.source_producer(task_id, config),
                admin=lambda: self._clients.admin(config, task_id),
                encoder=lambda: Encoder(
                    converters_of(self.plugins, self.settings, config),
                    Chain(chain_of(self.plugins, config), tolerance),
                    tolerance,
                ),
                tolerance=tolerance,
                plans=lambda: TopicPlans(config if options.topic_creation else {}),
                store=self.offsets,
                offsets=ConnectorOffsets(self.offsets, task_id.connector),
                topic_active=lambda topic: self._status.topic_active(task_id.connector, topic, task_id.index),
            ),
            target=target,
            flush_ms=options.offset_flush_ms,
            flush_timeout_ms=options.offset_flush_timeout_ms,
            stopping=stopping,
            clock=self._clock,
        )

    # -- offsets ------------------------------------------------------------------------------

    def connector_offsets(self, name: ConnectorName, config: Config) -> list[dict[str, Any]]:
        """All of a connector's offsets, as the entries of the REST body; works in every target state."""
        return self._offset_requests.read(name, config)

    def alter_offsets(self, name: ConnectorName, config: Config, offsets: Given) -> bool:
        """Set offsets of a stopped connector; None as offset deletes. True when its own hook took part.

        BadRequest for malformed ones, ConnectError for what the connector or the cluster refuses.
        """
        return self._offset_requests.alter(name, config, offsets)

    def reset_offsets(self, name: ConnectorName, config: Config) -> bool:
        """Forget all offsets of a stopped connector. True when its own hook took part."""
        return self._offset_requests.reset(name, config)

    # -- metrics ------------------------------------------------------------------------------

    def metrics(self) -> list[tuple[TaskId, SinkMetrics | SourceMetrics, ErrorMetrics]]:
        """What each task here has counted."""
        return [(task.id, task.loop.metrics, task.errors) for task in list(self._tasks.values())]

    def prometheus(self) -> str:
        """What runs here in numbers, as Prometheus text."""
        connectors = {
            name: ConnectorFacts(
                running.state, running.plugin.kind.value, running.plugin.java_class, running.plugin.version
            )
            for name, running in list(self._connectors.items())
        }
        tasks = {
            task_id: TaskFacts(task.state, task.loop.metrics, task.errors)
            for task_id, task in list(self._tasks.items())
        }
        return prometheus(self._counts, connectors, tasks)


class _ConnectorContext:
    """What a connector is offered (api.ConnectorContext)."""

    def __init__(self, connector: RunningConnector, status: StatusListener, store: OffsetStore) -> None:
        self._connector = connector
        self._status = status
        self._store = store

    def request_task_reconfiguration(self) -> None:
        self._status.requested_reconfiguration(self._connector.name)

    def raise_error(self, error: Exception) -> None:
        log.error("connector %s reports that it failed", self._connector.name, exc_info=error)
        self._connector.fail(error)

    @property
    def offsets(self) -> OffsetReader:
        if self._connector.plugin.kind is PluginKind.SINK:
            raise ConnectError("a sink connector has no source offsets")
        return ConnectorOffsets(self._store, self._connector.name)


def _tasks_max(config: Config) -> int:
    return int(config.get("tasks.max") or 1)


def _check_tasks_max(name: ConnectorName, config: Config, made: int, most: int) -> None:
    """ConnectError, in Kafka Connect's words, when there are too many tasks and that is enforced."""
    if made <= most:
        return
    begins = (
        f"The connector {name} has generated {made} tasks, which is greater than {most}, the maximum number of tasks "
        "it is configured to create. This behaviour should be considered a bug and "
    )
    if (config.get("tasks.max.enforce") or "true").strip().lower() == "false":
        log.warning("%swill be disallowed in future releases of Kafka Connect.", begins)
        return
    raise ConnectError(
        f"{begins}is disallowed. If necessary, it can be permitted by reconfiguring the connector with "
        "'tasks.max.enforce' set to false; however, this option will be removed in a future release of Kafka Connect."
    )


def _poll_records(properties: Mapping[str, str]) -> int:
    try:
        return poll_records(properties)
    except ConfigError as exc:
        found = {f"consumer.override.{key}": texts for key, texts in exc.errors.items()}
        raise ConfigError(found) from exc
