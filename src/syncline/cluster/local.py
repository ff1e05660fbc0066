"""What a worker that decides for itself does with requests, in either mode (design: connect runtime).

The modes differ in where configurations live (`_record`), whether this worker may decide now (`_admit`), and how
they start. Every change is recorded before it takes effect: what could not be recorded has not happened.
"""

from __future__ import annotations

import logging
import threading
from abc import abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Final

import msgspec

from syncline.client.models import ConnectorInfo, ConnectorStateInfo
from syncline.clock import SYSTEM_CLOCK, Clock
from syncline.cluster.answers import Answers
from syncline.cluster.base import BaseHerder
from syncline.cluster.herder import Given, GivenOffset
from syncline.cluster.lanes import Lanes
from syncline.cluster.progress import current
from syncline.cluster.restarts import RestartPlan
from syncline.cluster.statuses import Statuses
from syncline.errors import (
    AlreadyExists,
    BadRequest,
    ConfigError,
    ConnectError,
    NotFound,
    RetriableError,
    trace_of,
)
from syncline.ids import ConnectorName, TaskId
from syncline.kafka.client import KAFKA
from syncline.kafka.ports import Kafka
from syncline.options.providers import has_variable
from syncline.stores.configs import (
    ConfigEvent,
    ConfigSnapshot,
    ConnectorConfigured,
    RestartRequested,
    TargetSet,
    TaskConfigured,
    TasksCommitted,
)
from syncline.stores.offsets import OffsetStore
from syncline.stores.status import ActiveTopic
from syncline.worker.plugins import Plugins
from syncline.worker.settings import WorkerSettings
from syncline.worker.states import State, Target

log = logging.getLogger(__name__)

CLOSING_SECONDS: Final = 5.0
"""How long a stop waits for requests that are being worked on, as Kafka Connect waits for a connector."""
RETRY_FIRST_SECONDS: Final = 0.25
RETRY_MOST_SECONDS: Final = 60.0
"""Pauses, doubling, between attempts to make task configurations."""


class LocalHerder(BaseHerder):
    """Requests about one connector wait for each other, those about different ones do not."""

    def __init__(
        self,
        settings: WorkerSettings,
        plugins: Plugins,
        offsets: OffsetStore,
        worker_id: str,
        *,
        answers: Answers,
        kafka: Kafka = KAFKA,
        clock: Clock = SYSTEM_CLOCK,
        statuses: Statuses | None = None,
    ) -> None:
        super().__init__(
            settings, plugins, offsets, worker_id, answers=answers, kafka=kafka, clock=clock, statuses=statuses
        )
        self._kafka = kafka
        self._clock = clock
        self._lanes = Lanes()
        self._ready = threading.Event()
        self._begun = threading.Event()
        """The start has ended, well or badly."""
        self._closing = threading.Event()
        self._lock = threading.Lock()
        """Guards what follows, each time for a moment."""
        self._snapshot = ConfigSnapshot()
        self._restarts: dict[ConnectorName, RestartPlan] = {}
        """Accepted and not yet begun."""
        self._retrying: set[ConnectorName] = set()

    # -- where the modes differ ---------------------------------------------------------------

    @abstractmethod
    def _record(self, *events: ConfigEvent) -> None:
        """Make the events last, and part of the snapshot; an error means that they did not happen."""

    def _admit(self) -> None:
        """Conflict when this worker may not decide now."""

    @contextmanager
    def _alone(self, name: ConnectorName) -> Iterator[None]:
        """Nothing else happens to the connector meanwhile."""
        with self._lanes.of(name):
            self._admit()
            yield

    # -- start and stop -----------------------------------------------------------------------

    def start(self) -> None:
        try:
            self._start()
        finally:
            # Requests that wait for a start that failed would hold up the end of the process.
            self._begun.set()

    @abstractmethod
    def _start(self) -> None:
        """Body of `start`; sets `_ready`."""

    def _find_cluster(self) -> None:
        """RetriableError, or ConnectError, when Kafka does not answer."""
        servers = self._settings.options.bootstrap_servers
        with self.progress.during(f"looking for Kafka at {servers}"):
            try:
                self._cluster_id = self._kafka.admin(self._settings.admin()).cluster_id()
            except RetriableError as exc:
                raise RetriableError(f"Kafka does not answer at bootstrap.servers={servers}: {exc}") from exc
            except ConnectError as exc:
                raise ConnectError(f"Kafka does not answer at bootstrap.servers={servers}: {exc}") from exc

    def stop(self) -> None:
        self._closing.set()
        self._lanes.close(CLOSING_SECONDS)
        self._worker.stop()

    def wait_ready(self, seconds: float) -> bool:
        self._begun.wait(seconds)
        return self._ready.is_set()

    def responds(self, seconds: float) -> bool:
        # There is no thread that everything waits for: a connector that hangs holds up its own requests only.
        return self._ready.is_set()

    # -- state --------------------------------------------------------------------------------

    @property
    def snapshot(self) -> ConfigSnapshot:
        return self._snapshot

    def connector_state(self, name: ConnectorName, state: State, trace: str | None) -> None:
        if name in self._snapshot.connectors:
            self._statuses.set_connector(name, self._seen(name, state, trace))

    def task_state(self, task: TaskId, state: State, trace: str | None) -> None:
        if task in self._snapshot.tasks:
            self._statuses.set_task(task, self._seen(task.connector, state, trace))

    def topic_active(self, name: ConnectorName, topic: str, task: int) -> None:
        if self._settings.options.topic_tracking and name in self._snapshot.connectors:
            self._statuses.add_topic(ActiveTopic(topic, name, task, self._clock.wall_ms()))

    def reset_topics(self, name: str) -> None:
        self._refuse_without_tracking(to_reset=True)
        self._admit()
        self._statuses.forget_topics(ConnectorName(name))
        self._worker.forget_topics(ConnectorName(name))

    # -- creating and changing ----------------------------------------------------------------

    def create(self, name: str, config: Given, target: Target | None) -> ConnectorInfo:
        checked, key = self._checked(name, config), ConnectorName(name)
        with self._alone(key):
            if key in self._snapshot.connectors:
                raise AlreadyExists(f"Connector {name} already exists")
            wanted = [] if target is None else [TargetSet(key, target)]
            self._record(*wanted, ConnectorConfigured(key, checked))
            self._launch(key)
            made = self.info(name)
        return msgspec.structs.replace(made, tasks=self._answers.created_tasks(made.tasks))

    def put_config(self, name: str, config: Given) -> tuple[bool, ConnectorInfo]:
        checked, key = self._checked(name, config), ConnectorName(name)
        with self._alone(key):
            created = key not in self._snapshot.connectors
            made = self._replace(key, checked)
        if created:
            made = msgspec.structs.replace(made, tasks=self._answers.created_tasks(made.tasks))
        return created, made

    def patch_config(self, name: str, patch: Given) -> ConnectorInfo:
        key = ConnectorName(name)
        with self._alone(key):
            return self._replace(key, self._patched(name, patch))

    def _replace(self, name: ConnectorName, config: Mapping[str, str]) -> ConnectorInfo:
        self._record(ConnectorConfigured(name, config))
        self._launch(name)
        return self.info(name)

    def delete(self, name: str) -> None:
        key = ConnectorName(name)
        with self._alone(key):
            self.config(name)
            self._record(ConnectorConfigured(key, None), TargetSet(key, None))
            self._end(key)

    # -- running what is configured; the connector's lane is held -----------------------------

    def _launch(self, name: ConnectorName) -> None:
        """Start or restart the connector as configured; an error leaves it FAILED and is not raised."""
        try:
            self._restart_instance(name)
        except Exception as exc:  # a stranger's connector may fail in any way; its status tells why
            log.error("connector %s failed to start: %s", name, exc)

    def _restart_instance(self, name: ConnectorName) -> bool:
        """The connector instance, then its tasks if their configurations change: whether all of them were started anew.

        Raises what the connector raised; it is FAILED then, and its tasks stay as they are.
        """
        self._stop_instance(name)
        target = self._snapshot.target(name)
        if target is Target.STOPPED:
            self.connector_state(name, State.STOPPED, None)
            return False
        try:
            config = self._resolved(self._snapshot.connectors[name])
        except ConfigError as exc:
            self.connector_state(name, State.FAILED, trace_of(exc))
            raise
        with current().during("starting the connector"):
            self._worker.start_connector(name, config, target)
        return target is Target.STARTED and self._update_tasks(name)

    def _end(self, name: ConnectorName) -> None:
        """Stop what runs of a connector that is no longer configured, and forget its states."""
        self._stop_tasks(name)
        self._stop_instance(name)
        self._statuses.forget(name)

    def _stop_instance(self, name: ConnectorName) -> None:
        with current().during(f"stopping connector {name}"):
            self._worker.stop_connector(name)

    def _update_tasks(self, name: ConnectorName) -> bool:
        """Ask the connector for task configurations; if they changed, restart all tasks: whether that happened."""
        snapshot = self._snapshot
        raw = snapshot.connectors[name]
        if snapshot.target(name) is not Target.STARTED or not self._worker.connector_runs(name):
            return False
        try:
            with current().during(f"generating task configs for connector {name}"):
                made = self._worker.task_configs(name, self._resolved(raw))
        except RetriableError as exc:
            log.warning("connector %s cannot make task configurations yet and will be asked again: %s", name, exc)
            self._retry_later(name)
            return False
        except Exception as exc:  # as in _launch
            log.error("connector %s cannot make task configurations: %s", name, exc)
            self.connector_state(name, State.FAILED, trace_of(exc))
            return False
        stored = [_with_variables(config, raw) for config in made]
        known = [snapshot.tasks[task] for task in snapshot.tasks_of(name)]
        # A new converter, for instance, is in no task's configuration and still needs new tasks.
        if stored == known and name not in snapshot.inconsistent and snapshot.applied.get(name) == raw:
            return False
        try:
            self._commit_tasks(name, stored)
        except ConnectError as exc:
            log.warning("task configurations of connector %s cannot be stored yet: %s", name, exc)
            self._retry_later(name)
            return False
        self._restart_tasks(name)
        return True

    def _commit_tasks(self, name: ConnectorName, configs: Sequence[Mapping[str, str]]) -> None:
        tasks = [TaskConfigured(TaskId(name, index), config) for index, config in enumerate(configs)]
        self._record(*tasks, TasksCommitted(name, len(tasks)))

    def _restart_tasks(self, name: ConnectorName) -> None:
        """Stop what runs and start what is configured."""
        self._stop_tasks(name)
        for task in self._snapshot.tasks_of(name):
            self._start_task(task)

    def _start_task(self, task: TaskId) -> bool:
        """Whether it was started; if not, it is FAILED."""
        snapshot = self._snapshot
        self.task_state(task, State.UNASSIGNED, None)
        try:
            config = self._resolved(snapshot.connectors[task.connector])
            own = self._resolved(snapshot.tasks[task])
            with current().during(f"starting task {task}"):
                self._worker.start_task(
                    task,
                    config,
                    own,
                    snapshot.target(task.connector),
                    task_count=len(snapshot.tasks_of(task.connector)),
                )
        except Exception as exc:  # as in _launch
            log.error("task %s failed to start: %s", task, exc)
            self.task_state(task, State.FAILED, trace_of(exc))
            return False
        return True

    def _stop_tasks(self, name: ConnectorName) -> None:
        """Stop all tasks; the states of those that are not configured any more are forgotten."""
        with current().during(f"stopping tasks of connector {name}"):
            self._worker.stop_tasks(self._worker.tasks_of(name))
        statuses = self._statuses.of(name)
        known = set() if statuses is None else {TaskId(name, index) for index in statuses.tasks}
        self._statuses.forget_tasks(known.difference(self._snapshot.tasks_of(name)))

    # -- what connectors ask for --------------------------------------------------------------

    def requested_reconfiguration(self, name: ConnectorName) -> None:
        self._in_background(f"reconfigure-{name}", lambda: self._reconfigure(name))

    def _reconfigure(self, name: ConnectorName) -> None:
        with self._alone(name):
            if name in self._snapshot.connectors:
                self._update_tasks(name)

    def _retry_later(self, name: ConnectorName) -> None:
        """Ask for task configurations until the connector can say, with growing pauses; once per connector."""
        with self._lock:
            if name in self._retrying:
                return
            self._retrying.add(name)
        self._in_background(f"retry-{name}", lambda: self._retry(name))

    def _retry(self, name: ConnectorName) -> None:
        pause = RETRY_FIRST_SECONDS
        while not self._clock.wait(self._closing, pause):
            pause = min(pause * 2, RETRY_MOST_SECONDS)
            with self._lock:
                self._retrying.discard(name)
            self._reconfigure(name)
            with self._lock:
                if name not in self._retrying:
                    return

    def _in_background(self, what: str, work: Callable[[], None]) -> None:
        def run() -> None:
            try:
                work()
            except Exception:  # nobody waits for an answer
                if not self._closing.is_set():
                    log.exception("%s failed", what)

        threading.Thread(target=run, name=what, daemon=True).start()

    # -- targets and restarts -----------------------------------------------------------------

    def set_target(self, name: str, target: Target) -> None:
        key = ConnectorName(name)
        with self._alone(key):
            if key not in self._snapshot.connectors:
                raise (
                    self._answers.unknown_to_stop(key)
                    if target is Target.STOPPED
                    else NotFound(f"Unknown connector {name}")
                )
            before = self._snapshot.target(key)
            if target is Target.STOPPED:
                self._record(TasksCommitted(key, 0), TargetSet(key, target))
                self._stop_tasks(key)
                self._launch(key)
                return
            self._record(TargetSet(key, target))
            if before is Target.STOPPED:
                self._launch(key)
            else:
                self._turn(key, target)

    def _turn(self, name: ConnectorName, target: Target) -> None:
        """Pause or resume what runs."""
        try:
            self._worker.set_target(name, target)
        except Exception as exc:  # as in _launch
            log.error("connector %s failed to resume: %s", name, exc)
            return
        self._update_tasks(name)

    def restart(self, name: str) -> None:
        key = ConnectorName(name)
        with self._alone(key):
            if key not in self._snapshot.connectors:
                raise self._answers.unknown_to_restart(key)
            try:
                self._restart_instance(key)
            except Exception as exc:
                raise ConnectError(f"Failed to start connector: {name}: {exc}") from exc

    def restart_parts(self, name: str, *, include_tasks: bool, only_failed: bool) -> ConnectorStateInfo:
        key = ConnectorName(name)
        if key not in self._snapshot.connectors:
            raise NotFound(f"Unknown connector: {name}")
        statuses = self._statuses.of(key)
        if statuses is None:
            raise NotFound(f"Status for connector {name} not found")
        request = RestartRequested(key, include_tasks, only_failed)
        plan = RestartPlan.of(request, statuses)
        body = self._state_info(name, statuses, plan)
        self._admit()
        self._announce(request)
        if plan:
            self._restart_later(key, plan)
        return body

    def _announce(self, request: RestartRequested) -> None:
        """Tell other workers of the restart."""

    def _restart_later(self, name: ConnectorName, plan: RestartPlan) -> None:
        with self._lock:
            waiting = self._restarts.get(name)
            self._restarts[name] = plan if waiting is None else waiting | plan
        if plan.connector:
            self.connector_state(name, State.RESTARTING, None)
        for index in plan.tasks:
            self.task_state(TaskId(name, index), State.RESTARTING, None)
        if waiting is None:
            self._in_background(f"restart-{name}", lambda: self._restart_planned(name))

    def _restart_planned(self, name: ConnectorName) -> None:
        with self._alone(name):
            with self._lock:
                plan = self._restarts.pop(name)
            tasks = [task for task in self._snapshot.tasks_of(name) if task.index in plan.tasks]
            self._worker.stop_tasks(tasks)
            all_anew = False
            if plan.connector and name in self._snapshot.connectors:
                try:
                    all_anew = self._restart_instance(name)
                except Exception as exc:  # as in _launch
                    log.error("connector %s failed to restart: %s", name, exc)
            if not all_anew:
                for task in tasks:
                    self._start_task(task)

    def restart_task(self, name: str, task: int) -> None:
        key = TaskId(ConnectorName(name), task)
        with self._alone(key.connector):
            if key.connector not in self._snapshot.connectors:
                raise self._answers.unknown_task_connector(key)
            if key not in self._snapshot.tasks:
                raise self._answers.unknown_task(key)
            with current().during(f"restarting task {key}"):
                self._worker.stop_tasks([key])
                if not self._start_task(key):
                    raise ConnectError(f"Failed to start task: {key}")

    # -- offsets ------------------------------------------------------------------------------

    def alter_offsets(self, name: str, offsets: Sequence[GivenOffset]) -> str:
        if not offsets:
            raise BadRequest("Partitions / offsets need to be provided for an alter offsets request")
        with self._alone(ConnectorName(name)):
            return self._alter(name, offsets)

    def reset_offsets(self, name: str) -> str:
        with self._alone(ConnectorName(name)):
            return self._reset(name)


def _with_variables(task: Mapping[str, str], raw: Mapping[str, str | None]) -> dict[str, str]:
    """A task's configuration as it is kept and shown: values whose raw text refers to a provider stay references."""
    return {key: raw.get(key) or value if has_variable(raw.get(key)) else value for key, value in task.items()}
