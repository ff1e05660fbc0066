"""Where a standalone and a distributed worker answer the same request differently: all of it (spec/connect.md 1.6)."""

from __future__ import annotations

from typing import Protocol

from syncline.client.models import ConnectorTaskId
from syncline.errors import BadRequest, ConnectError, NotFound, SynclineError
from syncline.ids import ConnectorName, TaskId


class Answers(Protocol):
    """Errors are given back, not raised."""

    def created_tasks(self, tasks: list[ConnectorTaskId]) -> list[ConnectorTaskId]:
        """Tasks in the answer to the creation of a connector."""
        ...

    def unknown_to_stop(self, name: ConnectorName) -> SynclineError: ...

    def unknown_to_restart(self, name: ConnectorName) -> SynclineError:
        """The connector instance alone."""
        ...

    def unknown_task_connector(self, task: TaskId) -> SynclineError:
        """A task of an unknown connector is to be restarted."""
        ...

    def unknown_task(self, task: TaskId) -> SynclineError:
        """An unknown task of a known connector is to be restarted."""
        ...

    def internal_request(self) -> SynclineError:
        """A request that workers send each other, without a signature."""
        ...


class StandaloneAnswers:
    """Of `connect-standalone`, which answers 500 where the other mode says 404."""

    def created_tasks(self, tasks: list[ConnectorTaskId]) -> list[ConnectorTaskId]:
        return tasks

    def unknown_to_stop(self, name: ConnectorName) -> SynclineError:
        return ConnectError(f"No connector `{name}` configured")

    def unknown_to_restart(self, name: ConnectorName) -> SynclineError:
        return ConnectError(f"Unknown connector: {name}")

    def unknown_task_connector(self, task: TaskId) -> SynclineError:
        return ConnectError(f"Task {task} cannot be restarted: unknown connector: {task.connector}")

    def unknown_task(self, task: TaskId) -> SynclineError:
        return NotFound(f"Task {task} not found")

    def internal_request(self) -> SynclineError:
        return ConnectError("Kafka Connect in standalone mode does not support internal requests of other workers")


class DistributedAnswers:
    """Of `connect-distributed`."""

    def created_tasks(self, tasks: list[ConnectorTaskId]) -> list[ConnectorTaskId]:
        return []

    def unknown_to_stop(self, name: ConnectorName) -> SynclineError:
        return NotFound(f"Unknown connector {name}")

    def unknown_to_restart(self, name: ConnectorName) -> SynclineError:
        return NotFound(f"Unknown connector: {name}")

    def unknown_task_connector(self, task: TaskId) -> SynclineError:
        return NotFound(f"Unknown connector: {task.connector}")

    def unknown_task(self, task: TaskId) -> SynclineError:
        return NotFound(f"Unknown task: {task}")

    def internal_request(self) -> SynclineError:
        return BadRequest("Internal request missing required signature")
