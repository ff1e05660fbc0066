"""Which parts of a connector a restart request means (spec/connect.md 1.6, KIP-745). Pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

from syncline.cluster.statuses import ConnectorStatuses
from syncline.stores.configs import RestartRequested
from syncline.worker.states import State


@dataclass(frozen=True, slots=True)
class RestartPlan:
    """What restarts: the connector instance, and tasks by number."""

    connector: bool
    tasks: frozenset[int]

    @classmethod
    def of(cls, request: RestartRequested, statuses: ConnectorStatuses) -> Self:
        """Everything asked for; with `only_failed` what of it has failed."""

        def chosen(state: str) -> bool:
            return not request.only_failed or state == State.FAILED

        return cls(
            chosen(statuses.connector.state),
            frozenset(
                index for index, status in statuses.tasks.items() if request.include_tasks and chosen(status.state)
            ),
        )

    def __or__(self, other: RestartPlan) -> RestartPlan:
        """Both requests as one, for a second that comes while the first still waits."""
        return RestartPlan(self.connector or other.connector, self.tasks | other.tasks)

    def __bool__(self) -> bool:
        """Whether anything restarts."""
        return self.connector or bool(self.tasks)
