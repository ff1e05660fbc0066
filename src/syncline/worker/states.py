"""States of connectors and tasks, named as Kafka Connect's REST interface names them."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from typing import Final

from syncline.stores.configs import StoredTarget


class State(StrEnum):
    """What a connector or task is doing. STOPPED is for connectors only."""

    UNASSIGNED = "UNASSIGNED"
    RUNNING = "RUNNING"
    PAUSED = "PAUSED"
    FAILED = "FAILED"
    RESTARTING = "RESTARTING"
    STOPPED = "STOPPED"
    DESTROYED = "DESTROYED"


ConnectorState = State
TaskState = State
"""One set of texts serves both, as in Kafka."""

Target = StoredTarget
TargetState = StoredTarget
"""What a user wants of a connector, named as the config topic names it."""


ALLOWED: Final[Mapping[State, frozenset[State]]] = {
    State.UNASSIGNED: frozenset({State.RUNNING, State.PAUSED, State.STOPPED, State.FAILED, State.DESTROYED}),
    State.RUNNING: frozenset(
        {State.PAUSED, State.STOPPED, State.FAILED, State.UNASSIGNED, State.RESTARTING, State.DESTROYED}
    ),
    State.PAUSED: frozenset(
        {State.RUNNING, State.STOPPED, State.FAILED, State.UNASSIGNED, State.RESTARTING, State.DESTROYED}
    ),
    State.STOPPED: frozenset(
        {State.RUNNING, State.PAUSED, State.FAILED, State.UNASSIGNED, State.RESTARTING, State.DESTROYED}
    ),
    State.FAILED: frozenset({State.RUNNING, State.STOPPED, State.UNASSIGNED, State.RESTARTING, State.DESTROYED}),
    State.RESTARTING: frozenset({State.RUNNING, State.PAUSED, State.STOPPED, State.FAILED, State.DESTROYED}),
    State.DESTROYED: frozenset(),
}
"""From each state to those that may follow it; a FAILED one does not become PAUSED by itself."""
