"""What every herder does alike: read its state, describe plug-ins, check configurations (design: cluster)."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from typing import Final

from syncline.api import Connector, Plugin, PluginKind
from syncline.client.models import (
    ConfigInfos,
    ConfigKeyInfo,
    ConnectorExpansion,
    ConnectorInfo,
    ConnectorOffset,
    ConnectorState,
    ConnectorStateInfo,
    ConnectorTaskId,
    LoggerLevel,
    PluginInfo,
    ServerInfo,
    TaskInfo,
    TaskState,
)
from syncline.clock import Clock
from syncline.cluster.answers import Answers
from syncline.cluster.circles import warn_of_circle
from syncline.cluster.framework import check_version, framework_options
from syncline.cluster.herder import Given, GivenOffset, Herder
from syncline.cluster.loggers import Loggers
from syncline.cluster.progress import Progress, current
from syncline.cluster.restarts import RestartPlan
from syncline.cluster.statuses import ConnectorStatuses, Statuses
from syncline.cluster.validation import Validator
from syncline.errors import BadRequest, ConnectError, Forbidden, NotFound
from syncline.ids import ConnectorName, TaskId
from syncline.kafka.ports import Kafka
from syncline.options.describe import key_info
from syncline.options.providers import Resolver
from syncline.stores.configs import ConfigSnapshot
from syncline.stores.offsets import OffsetStore
from syncline.stores.status import Status
from syncline.worker.plugins import Plugins
from syncline.worker.settings import WorkerSettings
from syncline.worker.states import State, Target
from syncline.worker.worker import StatusListener, Worker

VERSION: Final = "4.1.0"
"""What clients are told: they switch features on by it."""
COMMIT: Final = "syncline"

_STOPPED_ONLY: Final = (
    "Connectors must be in the STOPPED state before their offsets can be modified. This can be done for the specified "
    "connector by issuing a 'PUT' request to the '/connectors/{name}/stop' endpoint"
)
_CHANGED: Final = "The offsets for this connector have been {what} successfully"
_CHANGED_HERE: Final = (
    "The Connect framework-managed offsets for this connector have been {what} successfully. However, if this "
    "connector manages offsets externally, they will need to be manually {what} in the system that the connector uses."
)
_UNPLACED: Final = frozenset({State.UNASSIGNED, State.RESTARTING})


class BaseHerder(Herder, StatusListener):
    """Reading needs no lock: the configurations are an immutable snapshot, replaced as a whole."""

    def __init__(
        self,
        settings: WorkerSettings,
        plugins: Plugins,
        offsets: OffsetStore,
        worker_id: str,
        *,
        answers: Answers,
        kafka: Kafka,
        clock: Clock,
        statuses: Statuses | None = None,
    ) -> None:
        """Without `statuses` they are kept in memory alone."""
        self.worker_id = worker_id
        self._settings = settings
        self._plugins = plugins
        self._answers = answers
        self._resolver = Resolver.of(settings.properties)
        self._validator = Validator(plugins, settings, self._resolver)
        self._worker = Worker(settings, plugins, offsets, self, clock, kafka=kafka)
        self._statuses = Statuses() if statuses is None else statuses
        self._loggers = Loggers(clock)
        self._cluster_id: str | None = None
        self.progress = Progress(clock)

    @property
    @abstractmethod
    def snapshot(self) -> ConfigSnapshot:
        """What is configured, as of now."""

    # -- connectors ---------------------------------------------------------------------------

    def root(self) -> ServerInfo:
        return ServerInfo(VERSION, COMMIT, self._cluster_id)

    def connectors(self) -> list[str]:
        return list(self.snapshot.connectors)

    def expanded(self, *, status: bool, info: bool) -> dict[str, ConnectorExpansion]:
        found: dict[str, ConnectorExpansion] = {}
        for name in self.connectors():
            with suppress(NotFound):
                found[name] = ConnectorExpansion(
                    self.status(name) if status else None, self.info(name) if info else None
                )
        return found

    def info(self, name: str) -> ConnectorInfo:
        config = self.config(name)
        tasks = [ConnectorTaskId(name, task.index) for task in self.snapshot.tasks_of(ConnectorName(name))]
        return ConnectorInfo(name, config, tasks, self._type(config))

    def config(self, name: str) -> dict[str, str]:
        config = self.snapshot.connectors.get(ConnectorName(name))
        if config is None:
            raise NotFound(f"Connector {name} not found")
        return _filled(config)

    def tasks(self, name: str) -> list[TaskInfo]:
        self.config(name)
        snapshot = self.snapshot
        return [
            TaskInfo(ConnectorTaskId(name, task.index), _filled(snapshot.tasks[task]))
            for task in snapshot.tasks_of(ConnectorName(name))
        ]

    def status(self, name: str) -> ConnectorStateInfo:
        statuses = self._statuses.of(ConnectorName(name))
        if statuses is None:
            raise NotFound(f"No status found for connector {name}")
        return self._state_info(name, statuses)

    def _state_info(
        self, name: str, statuses: ConnectorStatuses, restarting: RestartPlan | None = None
    ) -> ConnectorStateInfo:
        """The body; parts of `restarting` are shown as such, with the trace of their last failure."""

        def shown(status: Status, restarts: bool) -> tuple[str, str, str | None, str | None]:
            return (
                State.RESTARTING if restarts else status.state,
                status.worker_id,
                status.version,
                status.trace or None,
            )

        plan = restarting or RestartPlan(False, frozenset())
        return ConnectorStateInfo(
            name,
            ConnectorState(*shown(statuses.connector, plan.connector)),
            [TaskState(index, *shown(status, index in plan.tasks)) for index, status in statuses.tasks.items()],
            self._type(self.snapshot.connectors.get(ConnectorName(name), {})),
        )

    def task_status(self, name: str, task: int) -> TaskState:
        status = self._statuses.task(TaskId(ConnectorName(name), task))
        if status is None:
            raise NotFound(f"No status found for task {name}-{task}")
        return TaskState(task, status.state, status.worker_id, status.version, status.trace or None)

    def _plugin(self, config: Given) -> Plugin | None:
        return self._plugins.find(config.get("connector.class") or "", PluginKind.SINK, PluginKind.SOURCE)

    def _type(self, config: Given) -> str:
        plugin = self._plugin(config)
        return "unknown" if plugin is None else plugin.kind.value

    @property
    def _generation(self) -> int:
        """Of the group this worker is in."""
        return 0

    def _seen(self, name: ConnectorName, state: State, trace: str | None) -> Status:
        """A status as this worker reports it."""
        plugin = self._plugin(self.snapshot.connectors.get(name, {}))
        version = None if plugin is None or state in _UNPLACED else plugin.version
        return Status(state.value, trace, self.worker_id, self._generation, version)

    def _checked(self, name: str, config: Given) -> dict[str, str]:
        """`config` with its name, if it may be used; BadRequest otherwise."""
        if "name" not in config:
            config = {**config, "name": name}
        given = config["name"]
        if given is not None and given != name:
            raise BadRequest(f"Connector name configuration ({given}) doesn't match connector name in the URL ({name})")
        self._validator.validate(config).check()
        checked = _filled(config)
        self._warn_of_circles(name, checked)
        return checked

    def _warn_of_circles(self, name: str, config: Given) -> None:
        known: dict[str, tuple[Connector, Mapping[str, str]]] = {}
        for other, given in {**self.snapshot.connectors, ConnectorName(name): config}.items():
            plugin = self._plugin(given)
            with suppress(ConnectError):
                if plugin is not None:
                    known[other] = plugin.factory(), self._resolved(given)
        warn_of_circle(name, known)

    def _patched(self, name: str, patch: Given) -> dict[str, str]:
        """The stored configuration with `patch` applied, if it may be used."""
        changed = {key: value for key, value in {**self.config(name), **patch}.items() if value is not None}
        if "name" in changed:
            return self._checked(name, changed)
        # `"name": null` takes the name away, which is an error and not a reason to put it back.
        self._validator.validate(changed).check()
        return changed

    def _resolved(self, config: Given) -> dict[str, str]:
        return self._resolver.resolve(_filled(config))

    def internal_request(self, name: str) -> None:
        raise self._answers.internal_request()

    # -- offsets and topics -------------------------------------------------------------------

    def offsets(self, name: str) -> list[ConnectorOffset]:
        config = self._resolved(self.config(name))
        with current().during(f"reading offsets of connector {name}"):
            found = self._worker.connector_offsets(ConnectorName(name), config)
        return [ConnectorOffset(entry["partition"], entry["offset"]) for entry in found]

    def _alter(self, name: str, offsets: Sequence[GivenOffset]) -> str:
        """Body of `alter_offsets`, for whoever makes sure that nothing else happens to the connector meanwhile."""
        key = ConnectorName(name)
        config = self._changeable(name)
        plugin = self._plugin(config)
        if plugin is not None and plugin.kind is PluginKind.SOURCE:
            _refuse_nested(offsets)
        return self._modify(key, "altered", lambda: self._worker.alter_offsets(key, config, offsets))

    def _reset(self, name: str) -> str:
        """Body of `reset_offsets`."""
        key = ConnectorName(name)
        config = self._changeable(name)
        return self._modify(key, "reset", lambda: self._worker.reset_offsets(key, config))

    def _changeable(self, name: str) -> dict[str, str]:
        """The resolved configuration of a connector that is stopped; an error otherwise."""
        config, key = self.config(name), ConnectorName(name)
        snapshot = self.snapshot
        if snapshot.target(key) is not Target.STOPPED or snapshot.tasks_of(key):
            raise BadRequest(_STOPPED_ONLY.format(name=name))
        return self._resolved(config)

    @staticmethod
    def _modify(name: ConnectorName, what: str, change: Callable[[], bool]) -> str:
        with current().during(f"modifying offsets for connector {name}"):
            took_part = change()
        return (_CHANGED if took_part else _CHANGED_HERE).format(what=what)

    def topics(self, name: str) -> list[str]:
        self._refuse_without_tracking()
        return self._statuses.topics(ConnectorName(name))

    def _refuse_without_tracking(self, *, to_reset: bool = False) -> None:
        options = self._settings.options
        if not options.topic_tracking:
            raise Forbidden("Topic tracking is disabled.")
        if to_reset and not options.topic_tracking_reset:
            raise Forbidden("Topic tracking reset is disabled.")

    # -- plug-ins and validation --------------------------------------------------------------

    def plugins(self, *, connectors_only: bool) -> list[PluginInfo]:
        kinds = (PluginKind.SINK, PluginKind.SOURCE) if connectors_only else tuple(PluginKind)
        return [
            PluginInfo(plugin.java_class, plugin.kind.value, plugin.version or None)
            for plugin in self._plugins.of(*kinds)
        ]

    def plugin_config(self, name: str, version: str | None) -> list[ConfigKeyInfo]:
        plugin = self._plugins.find(name, *PluginKind)
        if plugin is None and name.startswith("java."):
            raise ConnectError(f"{name} is a class, but no plug-in")
        if plugin is None:
            raise NotFound(f"Unknown plugin {name}.")
        wrong = check_version(plugin, version)
        if wrong is not None:
            raise BadRequest(wrong)
        options = self._validator.own_options(plugin)
        if plugin.kind in (PluginKind.SINK, PluginKind.SOURCE):
            options += framework_options(self._plugins, plugin, {})
        return [ConfigKeyInfo(**key_info(option)) for option in options]

    def validate(self, plugin: str, config: Given) -> ConfigInfos:
        given = config.get("connector.class")
        if given is not None and not given.removesuffix("Connector").endswith(plugin.removesuffix("Connector")):
            raise BadRequest(f"Included connector type {given} does not match request type {plugin}")
        try:
            return self._validator.validate(config).body()
        except (NotFound, BadRequest) as exc:
            # The call describes what is wrong with a configuration; it cannot when it does not know whose.
            raise ConnectError(str(exc)) from exc

    # -- loggers ------------------------------------------------------------------------------

    def loggers(self) -> dict[str, LoggerLevel]:
        return self._loggers.all()

    def logger(self, name: str) -> LoggerLevel:
        return self._loggers.get(name)

    def set_logger(self, name: str, level: str | None) -> list[str]:
        return self._loggers.change(name, level)

    def metrics(self) -> str:
        return self._worker.prometheus()


def _filled(config: Given) -> dict[str, str]:
    """A configuration without its null values."""
    return {key: value for key, value in config.items() if value is not None}


def _refuse_nested(offsets: Sequence[GivenOffset]) -> None:
    """Source offsets are flat (KIP-875); refused before the connector's own check sees them."""
    for part in (part for pair in offsets for part in pair if part is not None):
        for key, value in part.items():
            if isinstance(value, dict | list):
                kind = "MAP" if isinstance(value, dict) else "ARRAY"
                raise ConnectError(
                    f"Offsets may only contain primitive types as values, but field {key} contains {kind}"
                )
