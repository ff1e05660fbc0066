"""The herder: the one blocking facade for REST, console and command line."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any

from syncline.worker.states import Target

Given = Mapping[str, str | None]
Body = dict[str, Any]


__all__ = ["Body", "Given", "Herder", "Target"]


class Herder(ABC):
    """Decides which connectors and tasks run. Bodies are Kafka Connect's JSON; errors are RequestErrors,
    ConnectErrors or ConfigErrors, which the REST edge maps to status codes."""

    def start(self) -> None:
        """Begin; returns when requests can be served."""

    def stop(self) -> None:
        """Stop everything that runs here."""

    @abstractmethod
    def root(self) -> Body: ...

    @abstractmethod
    def connectors(self) -> list[str]: ...

    @abstractmethod
    def info(self, name: str) -> Body: ...

    @abstractmethod
    def config(self, name: str) -> dict[str, str]: ...

    @abstractmethod
    def create(self, name: str, config: Given, target: Target | None) -> Body:
        """AlreadyExists when there is one of that name."""

    @abstractmethod
    def put_config(self, name: str, config: Given) -> tuple[bool, Body]:
        """Create or replace; whether it was created."""

    @abstractmethod
    def patch_config(self, name: str, patch: Given) -> Body: ...

    @abstractmethod
    def delete(self, name: str) -> None: ...

    @abstractmethod
    def status(self, name: str) -> Body: ...

    @abstractmethod
    def task_status(self, name: str, task: int) -> Body: ...

    @abstractmethod
    def tasks(self, name: str) -> list[Body]: ...

    @abstractmethod
    def set_target(self, name: str, target: Target) -> None:
        """Pause, resume or stop."""

    @abstractmethod
    def restart(self, name: str) -> None:
        """The connector instance alone."""

    @abstractmethod
    def restart_parts(self, name: str, *, include_tasks: bool, only_failed: bool) -> Body:
        """As planned; the body shows what restarts."""

    @abstractmethod
    def restart_task(self, name: str, task: int) -> None: ...

    @abstractmethod
    def offsets(self, name: str) -> Body: ...

    @abstractmethod
    def alter_offsets(self, name: str, offsets: Sequence[tuple[Any, Any]]) -> Body: ...

    @abstractmethod
    def reset_offsets(self, name: str) -> Body: ...

    @abstractmethod
    def topics(self, name: str) -> Body: ...

    @abstractmethod
    def reset_topics(self, name: str) -> None: ...

    @abstractmethod
    def plugins(self, *, connectors_only: bool) -> list[Body]: ...

    @abstractmethod
    def plugin_config(self, name: str, version: str | None) -> list[Body]: ...

    @abstractmethod
    def validate(self, plugin: str, config: Given) -> Body: ...

    @abstractmethod
    def metrics(self) -> str:
        """Prometheus text."""
