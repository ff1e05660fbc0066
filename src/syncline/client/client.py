"""A typed, blocking client of Kafka Connect's REST interface; works with our worker and with a JVM's."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import TracebackType
from typing import Any, Self, TypeVar
from urllib.parse import quote

import httpx
import msgspec

from syncline.client.models import (
    ActiveTopics,
    ConfigInfos,
    ConfigKeyInfo,
    ConnectorExpansion,
    ConnectorInfo,
    ConnectorOffset,
    ConnectorOffsets,
    ConnectorStateInfo,
    Health,
    LoggerLevel,
    Message,
    PluginInfo,
    ServerInfo,
    TaskInfo,
    TaskState,
)
from syncline.errors import SynclineError

T = TypeVar("T")


class ConnectUnreachable(SynclineError):
    """No worker answers at the address."""


class ConnectRefused(SynclineError):
    """The worker refused a request; `status` is HTTP's, the text the worker's."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status


class ConnectClient:
    """One worker's REST interface at `url`; a context manager.

    Every call raises ConnectUnreachable when nothing answers, ConnectRefused when the worker says no.
    """

    def __init__(self, url: str, *, seconds: float = 95, credentials: tuple[str, str] | None = None) -> None:
        """`seconds` a call may take: a worker itself gives up after 90. `credentials` are user and password."""
        self.url = url.rstrip("/")
        try:
            self._http = httpx.Client(
                base_url=self.url, timeout=httpx.Timeout(seconds, connect=5), auth=credentials, trust_env=False
            )
        except (httpx.InvalidURL, ValueError) as exc:
            raise ConnectUnreachable(f"{url!r} is not the address of a Connect worker: {exc}") from exc

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Let go of the connections."""
        self._http.close()

    # -- the worker ---------------------------------------------------------------------------

    def root(self) -> ServerInfo:
        return self._get(ServerInfo, "/")

    def health(self) -> Health:
        """Healthy, starting or unhealthy; the last two are answers too, not errors."""
        answer = self._send("GET", "/health")
        if answer.status_code == 404:
            raise ConnectRefused(404, f"the worker at {self.url} is older than Kafka 3.9 and has no /health")
        return self._decoded(answer, Health)

    def metrics(self) -> str:
        """Prometheus text; only our own workers have it."""
        return self._succeeded(self._send("GET", "/metrics")).text

    # -- connectors ---------------------------------------------------------------------------

    def connectors(self) -> list[str]:
        return self._get(list[str], "/connectors")

    def expanded(self) -> dict[str, ConnectorExpansion]:
        """Status and information of every connector that has both, by name."""
        return self._get(dict[str, ConnectorExpansion], "/connectors?expand=status&expand=info")

    def statuses(self) -> dict[str, ConnectorStateInfo]:
        """Status of every connector that has one, by name."""
        found = self._get(dict[str, ConnectorExpansion], "/connectors?expand=status")
        return {name: parts.status for name, parts in found.items() if parts.status is not None}

    def create(self, name: str, config: Mapping[str, str | None], *, initial_state: str | None = None) -> ConnectorInfo:
        """Create a connector; `initial_state` is RUNNING, PAUSED or STOPPED."""
        body: dict[str, Any] = {"name": name, "config": dict(config)}
        if initial_state is not None:
            body["initial_state"] = initial_state
        return self._change(ConnectorInfo, "POST", "/connectors", body)

    def put_config(self, name: str, config: Mapping[str, str | None]) -> ConnectorInfo:
        """Create the connector or replace its configuration."""
        return self._change(ConnectorInfo, "PUT", _at(name, "config"), dict(config))

    def patch_config(self, name: str, changes: Mapping[str, str | None]) -> ConnectorInfo:
        """Change some keys; None removes one."""
        return self._change(ConnectorInfo, "PATCH", _at(name, "config"), dict(changes))

    def info(self, name: str) -> ConnectorInfo:
        return self._get(ConnectorInfo, _at(name))

    def config(self, name: str) -> dict[str, str]:
        return self._get(dict[str, str], _at(name, "config"))

    def status(self, name: str) -> ConnectorStateInfo:
        return self._get(ConnectorStateInfo, _at(name, "status"))

    def tasks(self, name: str) -> list[TaskInfo]:
        return self._get(list[TaskInfo], _at(name, "tasks"))

    def task_status(self, name: str, task: int) -> TaskState:
        return self._get(TaskState, _at(name, "tasks", str(task), "status"))

    def pause(self, name: str) -> None:
        self._order("PUT", _at(name, "pause"))

    def resume(self, name: str) -> None:
        self._order("PUT", _at(name, "resume"))

    def stop(self, name: str) -> None:
        self._order("PUT", _at(name, "stop"))

    def restart(self, name: str, *, include_tasks: bool = False, only_failed: bool = False) -> None:
        """Restart the connector instance, with `include_tasks` its tasks too, with `only_failed` what failed."""
        flags = f"?includeTasks={str(include_tasks).lower()}&onlyFailed={str(only_failed).lower()}"
        self._order("POST", _at(name, "restart") + flags)

    def restart_task(self, name: str, task: int) -> None:
        self._order("POST", _at(name, "tasks", str(task), "restart"))

    def delete(self, name: str) -> None:
        self._order("DELETE", _at(name))

    # -- topics and offsets -------------------------------------------------------------------

    def topics(self, name: str) -> list[str]:
        """Topics the connector has used."""
        found = self._get(dict[str, ActiveTopics], _at(name, "topics"))
        return found[name].topics if name in found else []

    def reset_topics(self, name: str) -> None:
        self._order("PUT", _at(name, "topics", "reset"))

    def offsets(self, name: str) -> list[ConnectorOffset]:
        return self._get(ConnectorOffsets, _at(name, "offsets")).offsets

    def alter_offsets(self, name: str, offsets: Sequence[ConnectorOffset]) -> str:
        """Set offsets of a stopped connector, None resets a partition; what the worker says about it."""
        return self._change(Message, "PATCH", _at(name, "offsets"), ConnectorOffsets(list(offsets))).message

    def reset_offsets(self, name: str) -> str:
        """Forget all offsets of a stopped connector; what the worker says about it."""
        return self._change(Message, "DELETE", _at(name, "offsets"), None).message

    # -- plug-ins and loggers -----------------------------------------------------------------

    def plugins(self, *, connectors_only: bool = True) -> list[PluginInfo]:
        return self._get(list[PluginInfo], f"/connector-plugins?connectorsOnly={str(connectors_only).lower()}")

    def plugin_config(self, plugin: str) -> list[ConfigKeyInfo]:
        """The options of a plug-in, by class name or alias."""
        return self._get(list[ConfigKeyInfo], f"/connector-plugins/{quote(plugin, safe='')}/config")

    def validate(self, config: Mapping[str, str | None]) -> ConfigInfos:
        """What is wrong with a configuration, which must name its `connector.class`."""
        plugin = quote(str(config.get("connector.class", "")).rpartition(".")[2], safe="")
        return self._change(ConfigInfos, "PUT", f"/connector-plugins/{plugin}/config/validate", dict(config))

    def loggers(self) -> dict[str, LoggerLevel]:
        return self._get(dict[str, LoggerLevel], "/admin/loggers")

    def set_logger(self, logger: str, level: str, *, cluster: bool = False) -> list[str]:
        """Set the level of a logger and those below it; the names that changed, none with `cluster`."""
        scope = "?scope=cluster" if cluster else ""
        answer = self._succeeded(self._send("PUT", f"/admin/loggers/{quote(logger, safe='')}{scope}", {"level": level}))
        return self._decoded(answer, list[str]) if answer.content else []

    # -- HTTP ---------------------------------------------------------------------------------

    def _get(self, kind: type[T], path: str) -> T:
        return self._decoded(self._succeeded(self._send("GET", path)), kind)

    def _change(self, kind: type[T], method: str, path: str, body: Any) -> T:
        return self._decoded(self._succeeded(self._send(method, path, body)), kind)

    def _order(self, method: str, path: str) -> None:
        self._succeeded(self._send(method, path))

    def _send(self, method: str, path: str, body: Any = None) -> httpx.Response:
        try:
            if body is None:
                return self._http.request(method, path)
            headers = {"Content-Type": "application/json"}
            return self._http.request(method, path, content=msgspec.json.encode(body), headers=headers)
        except httpx.TimeoutException as exc:
            raise ConnectUnreachable(f"the Connect worker at {self.url} does not answer in time") from exc
        except httpx.TransportError as exc:
            raise ConnectUnreachable(f"no Connect worker answers at {self.url}: {exc}") from exc

    def _succeeded(self, answer: httpx.Response) -> httpx.Response:
        if answer.is_success:
            return answer
        try:
            message = str(answer.json()["message"])
        except (ValueError, KeyError, TypeError):
            message = answer.text.strip() or answer.reason_phrase
        raise ConnectRefused(answer.status_code, message)

    def _decoded(self, answer: httpx.Response, kind: type[T]) -> T:
        try:
            return msgspec.json.decode(answer.content, type=kind)
        except msgspec.DecodeError as exc:
            raise ConnectRefused(answer.status_code, f"what answers at {self.url} is no Connect worker: {exc}") from exc


def _at(name: str, *rest: str) -> str:
    return "/".join(["/connectors", quote(name, safe=""), *rest])
