"""States of connectors and tasks, named as Kafka Connect's REST interface names them (spec/connect.md 5.1)."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from typing import Final

from syncline.stores.configs import StoredTarget


class State(StrEnum):
    """What a connector or task is doing."""

    UNASSIGNED = "UNASSIGNED"
    """Not placed, or between two workers."""
    RUNNING = "RUNNING"
    PAUSED = "PAUSED"
    FAILED = "FAILED"
    """With a trace; only a restart or, for a connector, a stop leads out."""
    RESTARTING = "RESTARTING"
    STOPPED = "STOPPED"
    """Connectors only."""
    DESTROYED = "DESTROYED"
    """Never shown: users see the status disappear."""


ConnectorState = State
TaskState = State
"""One set of texts serves both, as in Kafka; the tables below say what is possible for which."""

TargetState = StoredTarget
Target = StoredTarget
"""What a user wants of a connector, named as the config topic names it."""

_PLACED: Final = frozenset({State.RUNNING, State.PAUSED, State.FAILED})
_GONE: Final = frozenset({State.UNASSIGNED, State.RESTARTING, State.DESTROYED})

TASK_MOVES: Final[Mapping[State, frozenset[State]]] = {
    State.UNASSIGNED: _PLACED | {State.RESTARTING, State.DESTROYED},
    State.RUNNING: frozenset({State.PAUSED, State.FAILED}) | _GONE,
    State.PAUSED: frozenset({State.RUNNING, State.FAILED}) | _GONE,
    # No UNASSIGNED: the trace must stay visible after the task's worker stopped or lost it.
    State.FAILED: frozenset({State.RESTARTING, State.DESTROYED}),
    State.RESTARTING: _PLACED | {State.UNASSIGNED, State.DESTROYED},
    State.DESTROYED: frozenset(),
}
"""From each state of a task to those that may follow it."""

CONNECTOR_MOVES: Final[Mapping[State, frozenset[State]]] = {
    State.UNASSIGNED: _PLACED | {State.STOPPED, State.RESTARTING, State.DESTROYED},
    State.RUNNING: frozenset({State.PAUSED, State.STOPPED, State.FAILED}) | _GONE,
    State.PAUSED: frozenset({State.RUNNING, State.STOPPED, State.FAILED}) | _GONE,
    State.STOPPED: frozenset({State.RUNNING, State.PAUSED, State.FAILED}) | _GONE,
    State.FAILED: frozenset({State.STOPPED}) | _GONE,
    State.RESTARTING: _PLACED | {State.STOPPED, State.UNASSIGNED, State.DESTROYED},
    State.DESTROYED: frozenset(),
}
"""From each state of a connector to those that may follow it."""
