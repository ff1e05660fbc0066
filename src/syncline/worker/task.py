"""A task's thread, and what it says of itself; the same for sources and sinks."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from typing import Protocol

from syncline.errors import trace_of
from syncline.ids import TaskId
from syncline.worker.metrics import ErrorMetrics, SinkMetrics, SourceMetrics
from syncline.worker.states import TASK_MOVES, State, TargetState

log = logging.getLogger(__name__)

Say = Callable[[State], None]


class TaskLoop(Protocol):
    """What one kind of task does on its thread."""

    @property
    def metrics(self) -> SinkMetrics | SourceMetrics: ...

    def run(self, say: Say) -> None:
        """Work until told to stop; `say` RUNNING and PAUSED. Raises what fails the task."""
        ...

    def set_target(self, target: TargetState) -> None:
        """Pause or go on; from any thread."""
        ...

    def forget_topics(self) -> None:
        """Tell of each topic again when it is next used; from any thread."""
        ...

    def stop(self) -> None:
        """Come to an end soon; from any thread."""
        ...

    def abandon(self) -> None:
        """The end did not come in time: let go of what others wait for, and commit nothing more."""
        ...


class RunningTask:
    """One task from its start on this worker to its end. Calls come from one thread, the herder's."""

    def __init__(
        self,
        task_id: TaskId,
        loop: TaskLoop,
        errors: ErrorMetrics,
        report: Callable[[TaskId, State, str | None], None],
    ) -> None:
        self.id = task_id
        self.loop = loop
        self.errors = errors
        self._report = report
        self._state = State.UNASSIGNED
        self._lock = threading.Lock()
        self._abandoned = False
        self._thread = threading.Thread(target=self._run, name=f"task-{task_id}", daemon=True)

    @property
    def state(self) -> State:
        return self._state

    def start(self) -> None:
        """Begin on a thread of its own; the state is reported from there."""
        self._thread.start()

    def request_stop(self) -> None:
        """Ask the task to end; `join` waits for it."""
        self.loop.stop()

    def join(self, seconds: float) -> bool:
        """Whether the task has ended, waiting for it at most `seconds`."""
        self._thread.join(max(seconds, 0))
        return not self._thread.is_alive()

    def abandon(self) -> None:
        """From now on nobody hears of the task, whose thread may hang in a plug-in for ever."""
        with self._lock:
            self._abandoned = True
        self.loop.abandon()

    def _run(self) -> None:
        try:
            self.loop.run(self._say)
        except Exception as exc:  # a task is a stranger's code: whatever ends it becomes its state
            log.exception(
                "Task %s threw an uncaught and unrecoverable exception. It is FAILED until restarted.", self.id
            )
            self._say(State.FAILED, trace_of(exc))
        else:
            self._say(State.UNASSIGNED)

    def _say(self, state: State, trace: str | None = None) -> None:
        with self._lock:
            if not self._abandoned and state in TASK_MOVES[self._state]:
                self._state = state
                self._report(self.id, state, trace)
