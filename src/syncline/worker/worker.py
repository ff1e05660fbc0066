"""One node: starts and stops connectors and tasks, each task on threads of its own."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, Protocol

from syncline.api import AltersOffsets, Connector, OffsetReader, PluginKind, SinkConnector, SourceConnector
from syncline.clock import SYSTEM_CLOCK, Clock
from syncline.errors import BadRequest, ConnectError, trace_of
from syncline.ids import ConnectorName, TaskId, TopicPartition
from syncline.kafka.client import Admin, Consumer, Producer
from syncline.stores.offsets import ConnectorOffsets, OffsetStore
from syncline.worker.dlq import DeadLetters
from syncline.worker.metrics import SinkMetrics, SourceMetrics
from syncline.worker.pipeline import Converters, SinkPipeline, SourcePipeline, chain_of
from syncline.worker.plugins import Plugins
from syncline.worker.settings import WorkerSettings
from syncline.worker.sink_task import SinkTaskRunner
from syncline.worker.source_task import SourceTaskRunner
from syncline.worker.states import State, Target
from syncline.worker.tolerance import ErrorMetrics, LogReporter, Reporter, Tolerance

log = logging.getLogger(__name__)

Config = Mapping[str, str]
Offsets = Sequence[tuple[Mapping[str, Any], Mapping[str, Any] | None]]

TASK_CLASS: Final = "task.class"


class StatusListener(Protocol):
    """Hears what becomes of connectors and tasks; called from their threads."""

    def connector_state(self, name: ConnectorName, state: State, trace: str | None) -> None: ...

    def task_state(self, task: TaskId, state: State, trace: str | None) -> None: ...

    def requested_reconfiguration(self, name: ConnectorName) -> None:
        """The connector wants its tasks' configurations made anew."""
        ...

    def topic_active(self, name: ConnectorName, topic: str, task: int) -> None: ...


@dataclass(slots=True)
class _RunningConnector:
    config: Config
    plugin_kind: PluginKind
    instance: Connector
    target: Target
    started: bool = False
    failed: bool = False


@dataclass(slots=True)
class _RunningTask:
    id: TaskId
    runner: SinkTaskRunner | SourceTaskRunner
    errors: ErrorMetrics
    stopping: threading.Event
    thread: threading.Thread
    target: Target
    abandoned: bool = False
    """Did not stop in time; what it says from now on is not heard."""
    state: State = State.UNASSIGNED
    lock: threading.Lock = field(default_factory=threading.Lock)


class Worker:
    """Runs what the herder tells it to; the herder calls from one thread at a time."""

    def __init__(
        self,
        settings: WorkerSettings,
        plugins: Plugins,
        offsets: OffsetStore,
        status: StatusListener,
        clock: Clock = SYSTEM_CLOCK,
    ) -> None:
        self.settings = settings
        self.plugins = plugins
        self.offsets = offsets
        self._status = status
        self._clock = clock
        self._connectors: dict[ConnectorName, _RunningConnector] = {}
        self._tasks: dict[TaskId, _RunningTask] = {}

    def start(self) -> None:
        """Open the offset store."""
        self.offsets.start()

    def stop(self) -> None:
        """Stop all tasks, then all connectors."""
        self.stop_tasks(list(self._tasks))
        for name in list(self._connectors):
            self.stop_connector(name)
        self.offsets.stop()

    # -- connectors ---------------------------------------------------------------------------

    def start_connector(self, name: ConnectorName, config: Config, target: Target) -> None:
        """Start a connector, or make it ready when `target` is PAUSED; its state is reported.

        `config` is resolved. Raises what the connector raised; it is FAILED then.
        """
        try:
            plugin = self.plugins.connector(config.get("connector.class", ""))
            running = _RunningConnector(config, plugin.kind, plugin.factory(), target)
            self._connectors[name] = running
            if target is Target.STARTED:
                running.instance.start(config, _ConnectorContext(self, name))
                running.started = True
        except Exception as exc:
            if name in self._connectors:
                self._connectors[name].failed = True
            self._status.connector_state(name, State.FAILED, trace_of(exc))
            raise
        self._status.connector_state(name, _CONNECTOR_STATES[target], None)

    def stop_connector(self, name: ConnectorName) -> None:
        """Stop a connector; an error in doing so is logged and nothing more."""
        running = self._connectors.pop(name, None)
        if running is not None and running.started:
            _quietly(f"connector {name}", running.instance.stop)

    def connector_runs(self, name: ConnectorName) -> bool:
        """Whether there is an instance that did not fail."""
        running = self._connectors.get(name)
        return running is not None and not running.failed

    def set_target(self, name: ConnectorName, target: Target) -> None:
        """Pause or resume the connector and its tasks here; FAILED ones stay as they are."""
        running = self._connectors.get(name)
        if running is not None and not running.failed:
            running.target = target
            if target is Target.STARTED and not running.started:
                self.start_connector(name, running.config, target)
            else:
                self._status.connector_state(name, _CONNECTOR_STATES[target], None)
        for task in list(self._tasks.values()):
            if task.id.connector == name:
                self._set_task_target(task, target)

    def _set_task_target(self, task: _RunningTask, target: Target) -> None:
        with task.lock:
            task.target = target
            task.runner.set_paused(target is Target.PAUSED)
            if task.state in (State.RUNNING, State.PAUSED):
                self._set_state(task, State.PAUSED if target is Target.PAUSED else State.RUNNING)

    def task_configs(self, name: ConnectorName, config: Config, max_tasks: int | None = None) -> list[dict[str, str]]:
        """One configuration per task, as the running connector splits its work; at most `max_tasks`.

        Without `max_tasks` the configuration's own `tasks.max` counts.
        Raises ConnectError when it makes more than `tasks.max` and `tasks.max.enforce` is on.
        """
        running = self._connectors[name]
        most = max_tasks if max_tasks is not None else int(config.get("tasks.max") or 1)
        made = running.instance.task_configs(most)
        if len(made) > most:
            text = (
                f"The connector {name} has generated {len(made)} tasks, which is greater than {most}, the maximum "
                "number of tasks it is configured to create. This behaviour should be considered a bug and is "
            )
            if (config.get("tasks.max.enforce") or "true").strip().lower() != "false":
                raise ConnectError(
                    f"{text}disallowed. If necessary, it can be permitted by reconfiguring the connector with "
                    "'tasks.max.enforce' set to false; however, this option will be removed in a future release of "
                    "Kafka Connect."
                )
            log.warning("%sallowed only because 'tasks.max.enforce' is false.", text)
        extra = {TASK_CLASS: running.instance.task_class}
        if running.plugin_kind is PluginKind.SINK:
            extra |= {key: config[key] for key in ("topics", "topics.regex") if config.get(key)}
        return [{**task, **extra} for task in made]

    # -- tasks --------------------------------------------------------------------------------

    def start_task(self, task_id: TaskId, connector_config: Config, task_config: Config, target: Target) -> None:
        """Start a task on a thread of its own; its state is reported from there."""
        if task_id in self._tasks:
            raise ConnectError(f"Task already exists in this worker: {task_id}")
        stopping = threading.Event()
        runner: SinkTaskRunner | SourceTaskRunner
        try:
            plugin = self.plugins.connector(connector_config.get("connector.class", ""))
            made = plugin.factory()
            config = {**connector_config, **task_config}
            if plugin.kind is PluginKind.SINK:
                runner, errors = self._sink(task_id, made, config, stopping)
            else:
                runner, errors = self._source(task_id, made, config, stopping)
        except Exception as exc:
            self._status.task_state(task_id, State.FAILED, trace_of(exc))
            raise
        thread = threading.Thread(target=self._run, args=(task_id,), name=f"task-{task_id}", daemon=True)
        runner.set_paused(target is Target.PAUSED)
        self._tasks[task_id] = _RunningTask(task_id, runner, errors, stopping, thread, target)
        thread.start()

    def _run(self, task_id: TaskId) -> None:
        """Body of a task's thread: the one place where any error ends in a state."""
        task = self._tasks[task_id]

        def started() -> None:
            with task.lock:
                self._set_state(task, State.PAUSED if task.target is Target.PAUSED else State.RUNNING)

        if task.target is Target.PAUSED:
            started()
        try:
            task.runner.run(started)
        except Exception as exc:
            log.exception("task %s failed", task_id)
            with task.lock:
                self._set_state(task, State.FAILED, trace_of(exc))

    def _set_state(self, task: _RunningTask, state: State, trace: str | None = None) -> None:
        if not task.abandoned:
            task.state = state
            self._status.task_state(task.id, state, trace)

    def stop_tasks(self, ids: Iterable[TaskId]) -> None:
        """Stop tasks together, within one budget; late ones are abandoned and no longer heard."""
        doomed = [task for task in (self._tasks.pop(task_id, None) for task_id in ids) if task is not None]
        for task in doomed:
            task.stopping.set()
            if isinstance(task.runner, SourceTaskRunner):
                _quietly(f"task {task.id}", task.runner.interrupt)
        deadline = self._clock.monotonic() + self.settings.options.shutdown_ms / 1000
        for task in doomed:
            task.thread.join(max(deadline - self._clock.monotonic(), 0))
            if task.thread.is_alive():
                log.error("Graceful stop of task %s failed.", task.id)
            with task.lock:
                task.abandoned = True

    def tasks_of(self, name: ConnectorName) -> list[TaskId]:
        """Tasks of the connector that were started here and not stopped, failed ones too."""
        return sorted(task for task in self._tasks if task.connector == name)

    def metrics(self) -> list[tuple[TaskId, SinkMetrics | SourceMetrics, ErrorMetrics]]:
        """What each task has counted."""
        return [(task.id, task.runner.metrics, task.errors) for task in self._tasks.values()]

    # -- making tasks -------------------------------------------------------------------------

    def _sink(
        self, task_id: TaskId, connector: SinkConnector, config: Config, stopping: threading.Event
    ) -> tuple[SinkTaskRunner, ErrorMetrics]:
        reporters: list[Reporter] = []
        tolerance = Tolerance(config, reporters, stopping=stopping, clock=self._clock)
        letters = None
        if (config.get("errors.deadletterqueue.topic.name") or "").strip():
            letters = DeadLetters(
                task_id,
                config,
                lambda: self._producer(config, f"connector-dlq-producer-{task_id}"),
                lambda: self._admin(config, task_id),
                lambda: tolerance.metrics,
            )
            reporters.append(letters)
        self._add_log_reporter(task_id, config, reporters, tolerance)
        runner = SinkTaskRunner(
            task_id,
            connector.make_task(),
            config,
            make_consumer=lambda: self._consumer(config, task_id),
            make_pipeline=lambda: SinkPipeline(
                Converters.of(self.plugins, self.settings, config), chain_of(self.plugins, config), tolerance
            ),
            tolerance=tolerance,
            letters=letters,
            reporting=bool(reporters),
            flush_ms=self.settings.options.offset_flush_ms,
            stopping=stopping,
            on_topic=lambda topic: self._status.topic_active(task_id.connector, topic, task_id.index),
            clock=self._clock,
        )
        return runner, tolerance.metrics

    def _source(
        self, task_id: TaskId, connector: SourceConnector, config: Config, stopping: threading.Event
    ) -> tuple[SourceTaskRunner, ErrorMetrics]:
        reporters: list[Reporter] = []
        tolerance = Tolerance(config, reporters, stopping=stopping, clock=self._clock)
        self._add_log_reporter(task_id, config, reporters, tolerance)
        runner = SourceTaskRunner(
            task_id,
            connector.make_task(),
            config,
            make_producer=lambda: self._producer(config, f"connector-producer-{task_id}"),
            make_admin=lambda: self._admin(config, task_id),
            make_pipeline=lambda: SourcePipeline(
                Converters.of(self.plugins, self.settings, config), chain_of(self.plugins, config), tolerance
            ),
            store=self.offsets,
            reader=ConnectorOffsets(self.offsets, task_id.connector),
            flush_ms=self.settings.options.offset_flush_ms,
            flush_timeout_ms=self.settings.options.offset_flush_timeout_ms,
            stopping=stopping,
            on_topic=lambda topic: self._status.topic_active(task_id.connector, topic, task_id.index),
            clock=self._clock,
        )
        return runner, tolerance.metrics

    def _add_log_reporter(
        self, task_id: TaskId, config: Config, reporters: list[Reporter], tolerance: Tolerance
    ) -> None:
        if (config.get("errors.log.enable") or "false").strip().lower() == "true":
            messages = (config.get("errors.log.include.messages") or "false").strip().lower() == "true"
            reporters.append(LogReporter(str(task_id), include_messages=messages, metrics=lambda: tolerance.metrics))

    def _consumer(self, config: Config, task_id: TaskId) -> Consumer:
        return Consumer(
            {
                **self.settings.client("consumer"),
                "group.id": group_of(task_id.connector),
                "client.id": f"connector-consumer-{task_id}",
                **_overrides(config, "consumer"),
            }
        )

    def _producer(self, config: Config, client_id: str) -> Producer:
        return Producer({**self.settings.client("producer"), "client.id": client_id, **_overrides(config, "producer")})

    def _admin(self, config: Config, task_id: TaskId | None = None) -> Admin:
        client_id = {"client.id": f"connector-adminclient-{task_id}"} if task_id is not None else {}
        return Admin({**self.settings.client("admin"), **client_id, **_overrides(config, "admin")})

    # -- offsets ------------------------------------------------------------------------------

    def connector_offsets(self, name: ConnectorName, config: Config) -> list[dict[str, Any]]:
        """Partition and offset of everything stored for the connector, as the REST body lists them."""
        if self._is_sink(config):
            found = self._admin(config).group_offsets(sink_group(name, config))
            return [
                {"partition": {"kafka_topic": tp.topic, "kafka_partition": tp.partition}, "offset": {"kafka_offset": o}}
                for tp, o in sorted(found.items())
            ]
        return [
            {"partition": partition, "offset": offset}
            for partition, offset in self.offsets.of(name).values()
            if offset is not None
        ]

    def alter_offsets(self, name: ConnectorName, config: Config, offsets: Offsets) -> bool:
        """Set or reset offsets of a stopped connector; True when the connector's own hook took part.

        Raises BadRequest for malformed ones and ConnectError for what the connector or broker refuses.
        """
        if self._is_sink(config):
            return self._alter_group(name, config, parse_sink_offsets(offsets))
        took_part = self._ask_connector(config, offsets)
        self.offsets.commit(name, list(offsets))
        return took_part

    def reset_offsets(self, name: ConnectorName, config: Config) -> bool:
        """Forget all offsets of a stopped connector."""
        if self._is_sink(config):
            took_part = self._ask_connector(config, [])
            self._admin(config).delete_group(sink_group(name, config))
            return took_part
        stored = [(partition, None) for partition, offset in self.offsets.of(name).values() if offset is not None]
        took_part = self._ask_connector(config, stored)
        self.offsets.commit(name, stored)
        return took_part

    def _alter_group(self, name: ConnectorName, config: Config, wanted: Mapping[TopicPartition, int | None]) -> bool:
        took_part = self._ask_connector(
            config,
            [
                (
                    {"kafka_topic": tp.topic, "kafka_partition": tp.partition},
                    None if offset is None else {"kafka_offset": offset},
                )
                for tp, offset in wanted.items()
            ],
        )
        admin = self._admin(config)
        known = {topic.name: topic.partitions for topic in admin.topics()}
        for tp, offset in wanted.items():
            if tp.partition >= known.get(tp.topic, 0) or (offset is not None and offset < 0):
                raise ConnectError(f"Failed to alter consumer group offsets: {tp} at {offset} is not there")
        group = sink_group(name, config)
        setting = {tp: offset for tp, offset in wanted.items() if offset is not None}
        if setting:
            admin.alter_group_offsets(group, setting)
        if len(setting) < len(wanted):
            kept = {tp: o for tp, o in admin.group_offsets(group).items() if wanted.get(tp, o) is not None}
            admin.delete_group(group)
            if kept:
                admin.alter_group_offsets(group, kept)
        return took_part

    def _ask_connector(self, config: Config, offsets: Offsets) -> bool:
        connector = self.plugins.connector(config["connector.class"]).factory()
        return isinstance(connector, AltersOffsets) and connector.alter_offsets(config, offsets)

    def _is_sink(self, config: Config) -> bool:
        return self.plugins.connector(config.get("connector.class", "")).kind is PluginKind.SINK


_CONNECTOR_STATES: Final = {
    Target.STARTED: State.RUNNING,
    Target.PAUSED: State.PAUSED,
    Target.STOPPED: State.STOPPED,
}


def group_of(name: ConnectorName) -> str:
    """The consumer group of a sink connector."""
    return f"connect-{name}"


def sink_group(name: ConnectorName, config: Config) -> str:
    """The same, unless the connector overrides it."""
    return config.get("consumer.override.group.id") or group_of(name)


def _overrides(config: Config, kind: str) -> dict[str, str]:
    prefix = f"{kind}.override."
    return {key.removeprefix(prefix): value for key, value in config.items() if key.startswith(prefix)}


def parse_sink_offsets(offsets: Offsets) -> dict[TopicPartition, int | None]:
    """Offsets of a sink as users write them; BadRequest in Kafka Connect's words."""
    found: dict[TopicPartition, int | None] = {}
    for partition, offset in offsets:
        if partition is None:
            raise BadRequest("The partition for a sink connector offset cannot be null or missing")
        if "kafka_topic" not in partition or "kafka_partition" not in partition:
            raise BadRequest(
                "The partition for a sink connector offset must contain the keys 'kafka_topic' and 'kafka_partition'"
            )
        topic = partition["kafka_topic"]
        if not isinstance(topic, str):
            raise BadRequest("Kafka topic names must be valid strings and may not be null")
        if partition["kafka_partition"] is None:
            raise BadRequest("Kafka partitions must be valid numbers and may not be null")
        number = _integer(partition["kafka_partition"], "partition", "Partition")
        if offset is None:
            found[TopicPartition(topic, number)] = None
            continue
        if "kafka_offset" not in offset:
            raise BadRequest("The offset for a sink connector should either be null or contain the key 'kafka_offset'")
        found[TopicPartition(topic, number)] = _integer(offset["kafka_offset"], "offset", "Offset")
    return found


def _integer(value: Any, what: str, title: str) -> int:
    try:
        if isinstance(value, bool) or not isinstance(value, int | str):
            raise ValueError(value)
        return int(value)
    except ValueError as exc:
        raise BadRequest(
            f"Failed to parse the following Kafka {what} value in the provided offsets: '{value}'. {title} values "
            "for sink connectors need to be integers."
        ) from exc


class _ConnectorContext:
    """What a connector is offered (api.ConnectorContext)."""

    def __init__(self, worker: Worker, name: ConnectorName) -> None:
        self._worker = worker
        self._name = name

    def request_task_reconfiguration(self) -> None:
        self._worker._status.requested_reconfiguration(self._name)

    def raise_error(self, error: Exception) -> None:
        running = self._worker._connectors.get(self._name)
        if running is not None:
            running.failed = True
        self._worker._status.connector_state(self._name, State.FAILED, trace_of(error))

    @property
    def offsets(self) -> OffsetReader:
        return ConnectorOffsets(self._worker.offsets, self._name)


def _quietly(what: str, call: Callable[[], None]) -> None:
    try:
        call()
    except Exception:  # it is going away; the error is for the log
        log.exception("%s failed to stop", what)
