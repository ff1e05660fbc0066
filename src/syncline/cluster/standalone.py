"""The standalone herder: one worker, configurations in memory, source offsets in a file (spec/connect.md 2.4)."""

from __future__ import annotations

import logging
import threading
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any, Final

from syncline.api import PluginKind
from syncline.cluster.framework import framework_options
from syncline.cluster.herder import Body, Given, Herder
from syncline.cluster.metrics import render
from syncline.cluster.validation import Validator
from syncline.errors import AlreadyExists, BadRequest, ConnectError, NotFound, RequestError, trace_of
from syncline.ids import ConnectorName, TaskId
from syncline.kafka.client import Admin
from syncline.options.describe import key_info
from syncline.options.providers import Resolver, has_variable
from syncline.stores.offsets import OffsetStore
from syncline.worker.plugins import Plugins
from syncline.worker.settings import WorkerSettings
from syncline.worker.states import State, Target
from syncline.worker.worker import Worker

log = logging.getLogger(__name__)

VERSION: Final = "4.1.0"
COMMIT: Final = "syncline"

_STOPPED_ONLY: Final = (
    "Connectors must be in the STOPPED state before their offsets can be modified. This can be done for the specified "
    "connector by issuing a 'PUT' request to the '/connectors/{name}/stop' endpoint"
)
_ALTERED: Final = "The offsets for this connector have been {what} successfully"
_ALTERED_HERE: Final = (
    "The Connect framework-managed offsets for this connector have been {what} successfully. However, if this "
    "connector manages offsets externally, they will need to be manually {what} in the system that the connector uses."
)


@dataclass(slots=True)
class _Status:
    state: State
    trace: str | None = None


@dataclass(slots=True)
class _Connector:
    raw: dict[str, str]
    target: Target
    task_configs: list[dict[str, str]] = field(default_factory=list)
    raw_task_configs: list[dict[str, str]] = field(default_factory=list)


class StandaloneHerder(Herder):
    """One lock guards all state; REST requests wait for each other."""

    def __init__(
        self,
        settings: WorkerSettings,
        plugins: Plugins,
        offsets: OffsetStore,
        worker_id: str,
        cluster_id: str | None = None,
    ) -> None:
        self._settings = settings
        self._plugins = plugins
        self.worker_id = worker_id
        self._resolver = Resolver.of(settings.properties)
        self._validator = Validator(plugins, settings, self._resolver)
        self._worker = Worker(settings, plugins, offsets, self)
        self._lock = threading.RLock()
        self._connectors: dict[ConnectorName, _Connector] = {}
        self._connector_status: dict[ConnectorName, _Status] = {}
        self._task_status: dict[TaskId, _Status] = {}
        self._topics: dict[ConnectorName, set[str]] = defaultdict(set)
        self._status_lock = threading.Lock()
        self._cluster_id = cluster_id
        self._background = ThreadPoolExecutor(1, thread_name_prefix="herder")

    def start(self) -> None:
        self._worker.start()
        if self._cluster_id is None:
            self._cluster_id = Admin(self._settings.admin()).cluster_id()

    def stop(self) -> None:
        self._background.shutdown(wait=True, cancel_futures=True)
        with self._lock:
            self._worker.stop()

    # -- hearing from the worker --------------------------------------------------------------

    def connector_state(self, name: ConnectorName, state: State, trace: str | None) -> None:
        with self._status_lock:
            self._connector_status[name] = _Status(state, trace)

    def task_state(self, task: TaskId, state: State, trace: str | None) -> None:
        with self._status_lock:
            if task.connector in self._connectors or state is not State.FAILED:
                self._task_status[task] = _Status(state, trace)

    def requested_reconfiguration(self, name: ConnectorName) -> None:
        self._background.submit(self._reconfigure, name)

    def topic_active(self, name: ConnectorName, topic: str, task: int) -> None:
        if self._settings.options.topic_tracking:
            with self._status_lock:
                self._topics[name].add(topic)

    def _reconfigure(self, name: ConnectorName) -> None:
        try:
            with self._lock:
                if name in self._connectors:
                    self._update_tasks(name)
        except Exception:  # runs in the background; the connector shows it
            log.exception("connector %s could not make new task configurations", name)

    # -- reading ------------------------------------------------------------------------------

    def root(self) -> Body:
        return {"version": VERSION, "commit": COMMIT, "kafka_cluster_id": self._cluster_id}

    def connectors(self) -> list[str]:
        return list(self._connectors)

    def _known(self, name: str) -> _Connector:
        known = self._connectors.get(ConnectorName(name))
        if known is None:
            raise NotFound(f"Connector {name} not found")
        return known

    def info(self, name: str) -> Body:
        known = self._known(name)
        return {
            "name": name,
            "config": dict(known.raw),
            "tasks": [{"connector": name, "task": index} for index in range(len(known.task_configs))],
            "type": self._type(known.raw),
        }

    def _type(self, config: Mapping[str, str]) -> str:
        plugin = self._plugins.find(config.get("connector.class", ""), PluginKind.SINK, PluginKind.SOURCE)
        return "unknown" if plugin is None else plugin.kind.value

    def config(self, name: str) -> dict[str, str]:
        return dict(self._known(name).raw)

    def tasks(self, name: str) -> list[Body]:
        known = self._known(name)
        return [
            {"id": {"connector": name, "task": index}, "config": dict(config)}
            for index, config in enumerate(known.raw_task_configs)
        ]

    def status(self, name: str) -> Body:
        with self._status_lock:
            status = self._connector_status.get(ConnectorName(name))
            if status is None:
                raise NotFound(f"No status found for connector {name}")
            tasks = sorted(task for task in self._task_status if task.connector == name)
            return {
                "name": name,
                "connector": self._part(status, self._version(name)),
                "tasks": [{"id": t.index, **self._part(self._task_status[t], self._version(name))} for t in tasks],
                "type": self._type(self._connectors[ConnectorName(name)].raw)
                if name in self._connectors
                else "unknown",
            }

    def _part(self, status: _Status, version: str | None) -> Body:
        placed = status.state not in (State.RESTARTING, State.UNASSIGNED)
        body: Body = {
            "state": status.state.value,
            "worker_id": self.worker_id,
            "version": version if placed else None,
        }
        if status.trace:
            body["trace"] = status.trace
        return body

    def _version(self, name: str) -> str | None:
        known = self._connectors.get(ConnectorName(name))
        plugin = self._plugins.find(
            known.raw.get("connector.class", "") if known else "", PluginKind.SINK, PluginKind.SOURCE
        )
        return None if plugin is None else plugin.version

    def task_status(self, name: str, task: int) -> Body:
        with self._status_lock:
            status = self._task_status.get(TaskId(ConnectorName(name), task))
            if status is None:
                raise NotFound(f"No status found for task {name}-{task}")
            return {"id": task, **self._part(status, self._version(name))}

    # -- creating and changing ----------------------------------------------------------------

    def create(self, name: str, config: Given, target: Target | None) -> Body:
        config = self._named(name, config)
        self._validator.validate(config).check()
        with self._lock:
            if name in self._connectors:
                raise AlreadyExists(f"Connector {name} already exists")
            return self._put(ConnectorName(name), config, target or Target.STARTED)

    def put_config(self, name: str, config: Given) -> tuple[bool, Body]:
        config = self._named(name, config)
        self._validator.validate(config).check()
        with self._lock:
            known = self._connectors.get(ConnectorName(name))
            target = known.target if known is not None else Target.STARTED
            return known is None, self._put(ConnectorName(name), config, target)

    def patch_config(self, name: str, patch: Given) -> Body:
        with self._lock:
            merged: dict[str, str | None] = {**self._known(name).raw, **patch}
            changed = {key: value for key, value in merged.items() if value is not None}
            if changed.get("name", name) != name:
                self._named(name, changed)
            self._validator.validate(changed).check()
            return self._put(ConnectorName(name), changed, self._known(name).target)

    @staticmethod
    def _named(name: str, config: Given) -> dict[str, str | None]:
        given = config.get("name")
        if "name" not in config:
            return {**config, "name": name}
        if given is not None and given != name:
            raise BadRequest(f"Connector name configuration ({given}) doesn't match connector name in the URL ({name})")
        return dict(config)

    def _put(self, name: ConnectorName, config: Given, target: Target) -> Body:
        raw = {key: value for key, value in config.items() if value is not None}
        known = self._connectors.get(name)
        if known is not None:
            self._stop_tasks(name)
            self._worker.stop_connector(name)
            known.raw, known.target = raw, target
        else:
            self._connectors[name] = _Connector(raw, target)
        self._start(name)
        return self.info(name)

    def _start(self, name: ConnectorName) -> None:
        """Start the connector as its target says; an error leaves it FAILED and is not raised."""
        known = self._connectors[name]
        if known.target is Target.STOPPED:
            known.task_configs, known.raw_task_configs = [], []
            self._forget_tasks(name)
            self.connector_state(name, State.STOPPED, None)
            return
        try:
            self._worker.start_connector(name, self._resolver.resolve(known.raw), known.target)
        except Exception as exc:  # a stranger's connector; its state tells, and so does the log
            log.error("connector %s failed to start: %s", name, exc)
            return
        if known.target is Target.STARTED:
            self._update_tasks(name)

    def _update_tasks(self, name: ConnectorName) -> None:
        """Make task configurations; restart the tasks when they differ."""
        known = self._connectors[name]
        if known.target is not Target.STARTED or not self._worker.connector_runs(name):
            return
        resolved = self._resolver.resolve(known.raw)
        try:
            made = self._worker.task_configs(name, resolved)
        except Exception as exc:
            self.connector_state(name, State.FAILED, trace_of(exc))
            log.error("connector %s could not make task configurations: %s", name, exc)
            return
        if made == known.task_configs and self._worker.tasks_of(name):
            return
        self._stop_tasks(name)
        known.task_configs = made
        known.raw_task_configs = [_with_variables(config, known.raw) for config in made]
        for index in range(len(made)):
            self._start_task(TaskId(name, index))

    def _start_task(self, task: TaskId) -> bool:
        known = self._connectors[task.connector]
        try:
            self._worker.start_task(
                task, self._resolver.resolve(known.raw), known.task_configs[task.index], known.target
            )
        except Exception as exc:  # reported as FAILED by the worker
            log.error("task %s failed to start: %s", task, exc)
            return False
        return True

    def _stop_tasks(self, name: ConnectorName) -> None:
        self._worker.stop_tasks(self._worker.tasks_of(name))
        self._forget_tasks(name)

    def _forget_tasks(self, name: ConnectorName) -> None:
        with self._status_lock:
            for task in [task for task in self._task_status if task.connector == name]:
                del self._task_status[task]

    def delete(self, name: str) -> None:
        with self._lock:
            self._known(name)
            key = ConnectorName(name)
            self._stop_tasks(key)
            self._worker.stop_connector(key)
            del self._connectors[key]
            with self._status_lock:
                self._connector_status.pop(key, None)
                self._topics.pop(key, None)

    # -- targets and restarts -----------------------------------------------------------------

    def set_target(self, name: str, target: Target) -> None:
        with self._lock:
            known = self._connectors.get(ConnectorName(name))
            if known is None and target is Target.STOPPED:
                raise ConnectError(f"No connector `{name}` configured")
            if known is None:
                raise NotFound(f"Unknown connector {name}")
            key = ConnectorName(name)
            before, known.target = known.target, target
            if target is Target.STOPPED:
                self._stop_tasks(key)
                self._worker.stop_connector(key)
                known.task_configs, known.raw_task_configs = [], []
                self.connector_state(key, State.STOPPED, None)
            elif before is Target.STOPPED:
                self._start(key)
            else:
                self._worker.set_target(key, target)
                if target is Target.STARTED:
                    self._update_tasks(key)

    def restart(self, name: str) -> None:
        with self._lock:
            if name not in self._connectors:
                raise ConnectError(f"Unknown connector: {name}")
            key = ConnectorName(name)
            self._worker.stop_connector(key)
            known = self._connectors[key]
            if known.target is Target.STOPPED:
                self.connector_state(key, State.STOPPED, None)
                return
            self._worker.start_connector(key, self._resolver.resolve(known.raw), known.target)
            self._update_tasks(key)

    def restart_parts(self, name: str, *, include_tasks: bool, only_failed: bool) -> Body:
        with self._lock:
            if name not in self._connectors:
                raise NotFound(f"Unknown connector: {name}")
            key = ConnectorName(name)
            plan = self.status(name)
            doomed_connector = not only_failed or plan["connector"]["state"] == State.FAILED
            doomed = [
                TaskId(key, task["id"])
                for task in plan["tasks"]
                if include_tasks and (not only_failed or task["state"] == State.FAILED)
            ]
            for part in [plan["connector"]] * doomed_connector + [
                task for task in plan["tasks"] if TaskId(key, task["id"]) in doomed
            ]:
                part["state"], part["version"] = State.RESTARTING.value, None
            self._background.submit(self._restart_planned, key, doomed_connector, doomed)
            return plan

    def _restart_planned(self, name: ConnectorName, connector: bool, tasks: list[TaskId]) -> None:
        with self._lock:
            if name not in self._connectors:
                return
            self._worker.stop_tasks(tasks)
            if connector:
                try:
                    self.restart(name)
                except Exception as exc:  # its state tells
                    log.error("connector %s failed to restart: %s", name, exc)
            for task in tasks:
                if task not in self._worker.tasks_of(name) and task.index < len(self._connectors[name].task_configs):
                    self._start_task(task)

    def restart_task(self, name: str, task: int) -> None:
        with self._lock:
            known = self._connectors.get(ConnectorName(name))
            if known is None:
                raise ConnectError(f"Unknown connector: {name}")
            if not 0 <= task < len(known.task_configs):
                raise NotFound(f"Task {name}-{task} not found")
            task_id = TaskId(ConnectorName(name), task)
            self._worker.stop_tasks([task_id])
            if not self._start_task(task_id):
                raise ConnectError(f"Failed to start task: {task_id}")

    # -- offsets ------------------------------------------------------------------------------

    def offsets(self, name: str) -> Body:
        known = self._known(name)
        return {"offsets": self._worker.connector_offsets(ConnectorName(name), self._resolver.resolve(known.raw))}

    def alter_offsets(self, name: str, offsets: Sequence[tuple[Any, Any]]) -> Body:
        known = self._known(name)
        if not offsets:
            raise BadRequest("Partitions / offsets need to be provided for an alter offsets request")
        return self._change_offsets(
            name,
            "altered",
            lambda: self._worker.alter_offsets(ConnectorName(name), self._resolver.resolve(known.raw), offsets),
        )

    def reset_offsets(self, name: str) -> Body:
        known = self._known(name)
        return self._change_offsets(
            name, "reset", lambda: self._worker.reset_offsets(ConnectorName(name), self._resolver.resolve(known.raw))
        )

    def _change_offsets(self, name: str, what: str, change: Callable[[], bool]) -> Body:
        with self._lock:
            known = self._known(name)
            if known.target is not Target.STOPPED or known.task_configs:
                raise BadRequest(_STOPPED_ONLY.format(name=name))
            took_part = change()
            return {"message": (_ALTERED if took_part else _ALTERED_HERE).format(what=what)}

    # -- the rest -----------------------------------------------------------------------------

    def topics(self, name: str) -> Body:
        if not self._settings.options.topic_tracking:
            raise Forbidden("Topic tracking is disabled.")
        with self._status_lock:
            return {name: {"topics": sorted(self._topics.get(ConnectorName(name), ()))}}

    def reset_topics(self, name: str) -> None:
        options = self._settings.options
        if not options.topic_tracking:
            raise Forbidden("Topic tracking is disabled.")
        if not options.topic_tracking_reset:
            raise Forbidden("Topic tracking reset is disabled.")
        with self._status_lock:
            self._topics.pop(ConnectorName(name), None)

    def plugins(self, *, connectors_only: bool) -> list[Body]:
        kinds = (PluginKind.SINK, PluginKind.SOURCE) if connectors_only else tuple(PluginKind)
        return [
            {"class": plugin.java_class, "type": plugin.kind.value, "version": plugin.version}
            for plugin in self._plugins.of(*kinds)
        ]

    def plugin_config(self, name: str, version: str | None) -> list[Body]:
        plugin = self._plugins.find(name, *PluginKind)
        if plugin is None:
            if name.startswith("java."):
                raise ConnectError(f"class {name} is no plug-in")
            raise NotFound(f"Unknown plugin {name}.")
        if version is not None and version != plugin.version:
            raise BadRequest(f"Plugin {name} has no version {version}, only {plugin.version}")
        own = self._validator.own_options(plugin)
        if plugin.kind in (PluginKind.SINK, PluginKind.SOURCE):
            own += framework_options(self._plugins, plugin, {})
        return [key_info(option) for option in own]

    def validate(self, plugin: str, config: Given) -> Body:
        given = config.get("connector.class")
        if given is not None and not str(given).removesuffix("Connector").endswith(plugin.removesuffix("Connector")):
            raise BadRequest(f"Included connector type {given} does not match request type {plugin}")
        try:
            return self._validator.validate(config).body()
        except (NotFound, BadRequest) as exc:
            raise ConnectError(str(exc)) from exc

    def metrics(self) -> str:
        with self._status_lock:
            connectors = {name: status.state for name, status in self._connector_status.items()}
            tasks = {task: status.state for task, status in self._task_status.items()}
        return render(connectors, tasks, self._worker.metrics())


class Forbidden(RequestError):
    """Switched off by the worker's configuration."""


def _with_variables(task: Mapping[str, str], raw: Mapping[str, str]) -> dict[str, str]:
    """A task's configuration as it is shown: values whose raw text refers to a provider stay references."""
    return {key: raw[key] if has_variable(raw.get(key)) else value for key, value in task.items()}
