"""The herder: the one blocking facade for REST, console and command line."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any

from syncline.client.models import (
    ConfigInfos,
    ConfigKeyInfo,
    ConnectorExpansion,
    ConnectorInfo,
    ConnectorOffset,
    ConnectorStateInfo,
    LoggerLevel,
    PluginInfo,
    ServerInfo,
    TaskInfo,
    TaskState,
)
from syncline.cluster.progress import Progress
from syncline.worker.states import Target

__all__ = ["Given", "GivenOffset", "Herder", "Target"]

Given = Mapping[str, str | None]
"""A connector configuration as a caller sends it; a null value is an error in most places."""

GivenOffset = tuple[Mapping[str, Any] | None, Mapping[str, Any] | None]
"""Partition and offset as a caller sends them; offset None resets."""


class Herder(ABC):
    """Decides which connectors and tasks run. Any thread may call; calls block.

    Errors are RequestErrors, which say themselves how a caller is to take them; ConfigError and BadRequest for
    configurations that cannot be used; ConnectError when a connector, a database or Kafka failed.
    """

    progress: Progress
    """What the start is busy with."""

    @abstractmethod
    def start(self) -> None:
        """Begin; returns when requests can be served."""

    @abstractmethod
    def stop(self) -> None:
        """Stop everything that runs here; requests are refused from now on."""

    @abstractmethod
    def wait_ready(self, seconds: float) -> bool:
        """Whether `start` has ended, or ends within `seconds`."""

    @abstractmethod
    def responds(self, seconds: float) -> bool:
        """Whether requests are being worked on, found out within `seconds`."""

    # -- connectors ---------------------------------------------------------------------------

    @abstractmethod
    def root(self) -> ServerInfo:
        """Answers also before `start` has ended."""

    @abstractmethod
    def connectors(self) -> list[str]: ...

    @abstractmethod
    def expanded(self, *, status: bool, info: bool) -> dict[str, ConnectorExpansion]:
        """What is asked for of every connector; one that lacks a part, such as a first status, is left out."""

    @abstractmethod
    def info(self, name: str) -> ConnectorInfo: ...

    @abstractmethod
    def config(self, name: str) -> dict[str, str]: ...

    @abstractmethod
    def create(self, name: str, config: Given, target: Target | None) -> ConnectorInfo:
        """A new connector; AlreadyExists when there is one of that name."""

    @abstractmethod
    def put_config(self, name: str, config: Given) -> tuple[bool, ConnectorInfo]:
        """Create or replace; whether it was created."""

    @abstractmethod
    def patch_config(self, name: str, patch: Given) -> ConnectorInfo:
        """Change keys of a configuration; None removes one."""

    @abstractmethod
    def delete(self, name: str) -> None:
        """Stop and forget the connector; its offsets stay."""

    @abstractmethod
    def status(self, name: str) -> ConnectorStateInfo: ...

    @abstractmethod
    def task_status(self, name: str, task: int) -> TaskState: ...

    @abstractmethod
    def tasks(self, name: str) -> list[TaskInfo]: ...

    @abstractmethod
    def set_target(self, name: str, target: Target) -> None:
        """Pause, resume or stop."""

    @abstractmethod
    def restart(self, name: str) -> None:
        """Restart the connector instance alone and wait for it."""

    @abstractmethod
    def restart_parts(self, name: str, *, include_tasks: bool, only_failed: bool) -> ConnectorStateInfo:
        """Restart what the flags say, without waiting; the answer shows what restarts."""

    @abstractmethod
    def restart_task(self, name: str, task: int) -> None: ...

    @abstractmethod
    def internal_request(self, name: str) -> None:
        """A request that only workers of one group send each other."""

    # -- offsets and topics -------------------------------------------------------------------

    @abstractmethod
    def offsets(self, name: str) -> list[ConnectorOffset]: ...

    @abstractmethod
    def alter_offsets(self, name: str, offsets: Sequence[GivenOffset]) -> str:
        """Set or reset offsets of a stopped connector; the sentence to show for it."""

    @abstractmethod
    def reset_offsets(self, name: str) -> str:
        """Forget all offsets of a stopped connector; the sentence to show for it."""

    @abstractmethod
    def topics(self, name: str) -> list[str]: ...

    @abstractmethod
    def reset_topics(self, name: str) -> None: ...

    # -- plug-ins, validation, worker ---------------------------------------------------------

    @abstractmethod
    def plugins(self, *, connectors_only: bool) -> list[PluginInfo]: ...

    @abstractmethod
    def plugin_config(self, name: str, version: str | None) -> list[ConfigKeyInfo]: ...

    @abstractmethod
    def validate(self, plugin: str, config: Given) -> ConfigInfos: ...

    @abstractmethod
    def loggers(self) -> dict[str, LoggerLevel]: ...

    @abstractmethod
    def logger(self, name: str) -> LoggerLevel: ...

    @abstractmethod
    def set_logger(self, name: str, level: str | None) -> list[str]:
        """Set the level here; the loggers that changed."""

    @abstractmethod
    def set_cluster_logger(self, name: str, level: str | None) -> None:
        """Set the level on every worker."""

    @abstractmethod
    def metrics(self) -> str:
        """Prometheus text."""
