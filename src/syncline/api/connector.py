"""Connectors: what splits a job into tasks."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Protocol

from syncline.api.sink import SinkTask
from syncline.api.source import OffsetReader, SourceTask
from syncline.options.load import CheckedValue


class ConnectorContext(Protocol):
    """What the worker offers a connector. May be called from any thread."""

    def request_task_reconfiguration(self) -> None:
        """Ask for `task_configs` to be called again, because what they depend on changed."""
        ...

    def raise_error(self, error: Exception) -> None:
        """Report that a background thread of the connector failed; the connector becomes FAILED."""
        ...

    @property
    def offsets(self) -> OffsetReader:
        """The stored offsets of this source connector; raises ConnectError for a sink."""
        ...


class Connector(ABC):
    """Common to sources and sinks; instances are made by the worker, without arguments."""

    task_class: str
    """The task's Java class name, written into each task's configuration as `task.class`."""

    @abstractmethod
    def start(self, config: Mapping[str, str], context: ConnectorContext) -> None:
        """Begin; `config` is resolved (no `${...}` left). Raising makes the connector FAILED."""

    @abstractmethod
    def task_configs(self, max_tasks: int) -> list[dict[str, str]]:
        """One configuration per task, at most `max_tasks`; may be empty."""

    def stop(self) -> None:
        """End and release everything. Called once after `start`, also when that failed."""

    def validate(self, config: Mapping[str, str], answers: dict[str, CheckedValue]) -> None:
        """Check rules between options and the outside world; append to `answers[name].errors`.

        `answers` holds each declared option already checked on its own. Runs for the validate call and
        before a configuration is accepted, on an instance that is never started.
        """


class SourceConnector(Connector):
    """Brings records into Kafka."""

    @abstractmethod
    def make_task(self) -> SourceTask:
        """A new task, not yet started. May be called on an instance that was never started."""


class SinkConnector(Connector):
    """Takes records out of Kafka."""

    @abstractmethod
    def make_task(self) -> SinkTask:
        """A new task, not yet started. May be called on an instance that was never started."""
