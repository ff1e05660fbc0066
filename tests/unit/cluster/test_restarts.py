"""Which parts of a connector a restart means."""

from __future__ import annotations

import pytest

from syncline.cluster.restarts import RestartPlan
from syncline.cluster.statuses import ConnectorStatuses
from syncline.ids import ConnectorName
from syncline.stores.configs import RestartRequested
from syncline.stores.status import Status


def statuses(connector: str, *tasks: str) -> ConnectorStatuses:
    def status(state: str) -> Status:
        return Status(state, None, "w", 0, "1")

    return ConnectorStatuses(status(connector), {index: status(state) for index, state in enumerate(tasks)})


@pytest.mark.parametrize(
    ("include_tasks", "only_failed", "connector", "tasks"),
    [
        pytest.param(False, False, True, set(), id="the instance"),
        pytest.param(True, False, True, {0, 1, 2}, id="everything"),
        pytest.param(False, True, False, set(), id="the instance if it failed"),
        pytest.param(True, True, False, {1}, id="what failed"),
    ],
)
def test_flags_choose_the_parts(include_tasks: bool, only_failed: bool, connector: bool, tasks: set[int]) -> None:
    request = RestartRequested(ConnectorName("c"), include_tasks, only_failed)
    plan = RestartPlan.of(request, statuses("RUNNING", "RUNNING", "FAILED", "PAUSED"))
    assert plan == RestartPlan(connector, frozenset(tasks))


def test_a_failed_instance_restarts_without_its_healthy_tasks() -> None:
    plan = RestartPlan.of(RestartRequested(ConnectorName("c"), True, True), statuses("FAILED", "RUNNING"))
    assert plan.connector
    assert not plan.tasks


def test_a_plan_without_parts_is_no_plan() -> None:
    request = RestartRequested(ConnectorName("c"), True, True)
    assert not RestartPlan.of(request, statuses("RUNNING", "RUNNING"))


def test_two_waiting_requests_become_one_that_does_both() -> None:
    both = RestartPlan(True, frozenset({1})) | RestartPlan(False, frozenset({2}))
    assert both == RestartPlan(True, frozenset({1, 2}))
