"""A connector instance on this worker: started, paused, stopped on a thread of its own.

A connector is a stranger's code and may hang in any call. Callers wait for it only so long; then they go on, and
what the connector does later is still reported, unless it was stopped in the meantime.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from concurrent.futures import TimeoutError as NotInTime
from typing import Final, TypeVar

from syncline.api import Connector, ConnectorContext, Plugin
from syncline.errors import ConnectError, trace_of
from syncline.ids import ConnectorName
from syncline.worker.states import CONNECTOR_MOVES, State, TargetState

log = logging.getLogger(__name__)

T = TypeVar("T")

CALL_SECONDS: Final = 90
"""How long a call waits for a connector; a REST request has as much."""


class RunningConnector:
    """One instance, from its start on this worker to its end."""

    def __init__(
        self,
        name: ConnectorName,
        plugin: Plugin,
        config: Mapping[str, str],
        context: Callable[[RunningConnector], ConnectorContext],
        report: Callable[[ConnectorName, State, str | None], None],
    ) -> None:
        self.name = name
        self.plugin = plugin
        self.config = config
        self._context = context(self)
        self._report = report
        self._lock = threading.Lock()
        self._state = State.UNASSIGNED
        self._over = False
        self._started = False
        self._instance: Connector | None = None
        self._thread = ThreadPoolExecutor(1, thread_name_prefix=f"connector-{name}")

    @property
    def state(self) -> State:
        return self._state

    def start(self, target: TargetState) -> None:
        """Start, or only make ready when the target is not STARTED. Raises what the connector raised."""
        self._call("start", lambda: self._to(target))

    def set_target(self, target: TargetState) -> None:
        """Pause, resume or stop. A FAILED connector can only be stopped. Raises what the connector raised."""
        self._call("change its state", lambda: self._to(target))

    def task_configs(self, max_tasks: int) -> list[dict[str, str]]:
        """What the connector answers. ConnectError when it is not running."""
        instance = self._instance
        if instance is None or self._state is State.FAILED:
            raise ConnectError(f"Connector {self.name} is not running, so it cannot make task configurations")
        return self._call("make task configurations", lambda: instance.task_configs(max_tasks))

    def fail(self, error: Exception) -> None:
        """It is FAILED from now on, with this reason."""
        self._say(State.FAILED, trace_of(error))

    def end(self, seconds: float) -> None:
        """Stop for good; after so many seconds it is left alone, and nobody hears of it."""
        try:
            self._thread.submit(self._end).result(seconds)
        except NotInTime:
            log.error("Graceful stop of connector %s failed.", self.name)
        with self._lock:
            self._over = True
        self._thread.shutdown(wait=False)

    # -- the connector's thread ---------------------------------------------------------------

    def _to(self, target: TargetState) -> None:
        if self._state is State.FAILED and target is not TargetState.STOPPED:
            return
        try:
            if target is TargetState.STARTED:
                self._run()
            else:
                self._rest(quietly=target is TargetState.STOPPED)
        except Exception as exc:
            self.fail(exc)
            raise
        self._say(_REACHED[target], None)

    def _run(self) -> None:
        if not self._started:
            self._instance = self.plugin.factory()
            # Also a start that failed half-way is followed by a stop.
            self._started = True
            self._instance.start(self.config, self._context)

    def _rest(self, *, quietly: bool) -> None:
        """Stop the instance; a stopped connector counts as stopped also when it complained."""
        instance, self._instance = self._instance, None
        started, self._started = self._started, False
        if instance is None or not started:
            return
        try:
            instance.stop()
        except Exception:
            if not quietly:
                raise
            log.exception("connector %s complained while stopping", self.name)

    def _end(self) -> None:
        self._rest(quietly=True)
        self._say(State.UNASSIGNED, None)

    def _say(self, state: State, trace: str | None) -> None:
        with self._lock:
            if not self._over and state in CONNECTOR_MOVES[self._state]:
                self._state = state
                self._report(self.name, state, trace)

    def _call(self, what: str, function: Callable[[], T]) -> T:
        future: Future[T] = self._thread.submit(function)
        try:
            return future.result(CALL_SECONDS)
        except NotInTime:
            if future.done():  # the connector itself raised a timeout
                raise
            raise ConnectError(
                f"connector {self.name} took longer than {CALL_SECONDS} s to {what}; it may still do so later"
            ) from None


_REACHED: Final = {
    TargetState.STARTED: State.RUNNING,
    TargetState.PAUSED: State.PAUSED,
    TargetState.STOPPED: State.STOPPED,
}
