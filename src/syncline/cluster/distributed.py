"""The distributed herder: what it decides stands in topics that every worker of the group reads (spec/connect.md 3, 4).

One worker of a group is active and does everything; the others follow the topics, answer questions, and take over
when it is gone. Whoever becomes active reads to the end of all topics first, and takes up every connector where its
predecessor, of either kind, left it.
"""

from __future__ import annotations

import base64
import logging
import secrets
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Final

from syncline.clock import SYSTEM_CLOCK, Clock
from syncline.cluster.answers import DistributedAnswers
from syncline.cluster.lanes import CLOSED
from syncline.cluster.local import LocalHerder
from syncline.cluster.loggers import check_level
from syncline.cluster.progress import current
from syncline.cluster.restarts import RestartPlan
from syncline.cluster.statuses import Statuses
from syncline.errors import Conflict, ConnectError, RetriableError, SynclineError
from syncline.ids import ConnectorName, TaskId
from syncline.kafka.client import KAFKA
from syncline.kafka.ports import Kafka, Membership, Role
from syncline.stores import configs
from syncline.stores.configs import (
    ConfigEvent,
    ConnectorConfigured,
    LoggerSet,
    RestartRequested,
    SessionKey,
    TargetSet,
    TasksCommitted,
    UnreadableRecord,
)
from syncline.stores.offsets import TopicOffsets
from syncline.stores.topics import Entry, Raw, TopicLog
from syncline.worker.group_settings import GroupOptions, TopicPlans
from syncline.worker.plugins import Plugins
from syncline.worker.settings import WorkerSettings
from syncline.worker.states import Target

log = logging.getLogger(__name__)

STARTING_AT_ONCE: Final = 8
"""Connectors that are taken up at the same time."""
RETRY_SECONDS: Final = 2.0
KEY_BYTES: Final = 32
KEY_ALGORITHM: Final = "HmacSHA256"


class DistributedHerder(LocalHerder):
    """The snapshot is what the config topic says; only the thread that reads the topic changes it."""

    def __init__(
        self,
        settings: WorkerSettings,
        plugins: Plugins,
        worker_id: str,
        url: str,
        *,
        kafka: Kafka = KAFKA,
        clock: Clock = SYSTEM_CLOCK,
    ) -> None:
        """ConfigError when an option of the group cannot be used; `url` is where others reach this worker."""
        self._options = options = GroupOptions.of(settings)
        plans, client = TopicPlans.of(options, settings), settings.own_client()
        self._configs = TopicLog(kafka, client, plans.configs, self._absorb_configs, self._all_configs, clock=clock)
        statuses = Statuses(self._put_status)
        self._status_log = TopicLog(
            kafka, client, plans.statuses, self._absorb_statuses, statuses.records, patient=True, clock=clock
        )
        super().__init__(
            settings,
            plugins,
            TopicOffsets(kafka, client, plans.offsets),
            worker_id,
            answers=DistributedAnswers(),
            kafka=kafka,
            clock=clock,
            statuses=statuses,
        )
        membership = Membership(
            group=options.group,
            url=url,
            session_ms=options.session_ms,
            heartbeat_ms=options.heartbeat_ms,
            rebalance_ms=options.rebalance_ms,
        )
        self._member = kafka.member(client, membership, self._on_role)
        self._roles = threading.Condition()
        self._role: Role | None = None
        """As the group last said; guarded by `_roles`."""
        self._decides = False
        """Active, and everything was read that the one before wrote."""
        self._generation_floor = 0
        self._recording = 0
        """Requests that wait for what they wrote to be read; guarded by `_lock`."""
        self._changed: set[ConnectorName] = set()
        """Connectors that somebody else changed and nobody looked at yet; guarded by `_lock`."""
        self._live = False
        self._leader = threading.Thread(target=self._lead, name="leading", daemon=True)

    # -- start and stop -----------------------------------------------------------------------

    def _start(self) -> None:
        """Waits for Kafka as long as it takes; ConfigError when a topic is not fit for its purpose."""
        self._reach(self._find_cluster)
        with self.progress.during("initializing and reading to the end of internal topics"):
            for step in (self._configs.start, self._status_log.start, self._worker.start):
                self._reach(step)
        self._live = True
        with self.progress.during("ensuring membership in the cluster"):
            self._member.start()
            self._leader.start()
            while not self._ready.wait(RETRY_SECONDS):
                self._refuse_when_closing()

    def _reach(self, step: Callable[[], None]) -> None:
        """Do it, again and again while the cluster does not answer."""
        said = ""
        while True:
            self._refuse_when_closing()
            try:
                step()
            except RetriableError as exc:
                if str(exc) != said:
                    log.warning("%s; trying again", exc)
                said = str(exc)
                self._clock.wait(self._closing, RETRY_SECONDS)
            else:
                return

    def _refuse_when_closing(self) -> None:
        if self._closing.is_set():
            raise ConnectError(CLOSED)

    def stop(self) -> None:
        with self._roles:
            self._roles.notify_all()
        super().stop()
        # Another worker may begin as soon as this one has left, so it leaves when everything has stopped.
        self._member.stop()
        self._status_log.stop()
        self._configs.stop()

    def responds(self, seconds: float) -> bool:
        return super().responds(seconds) and self._role is not None

    # -- being active -------------------------------------------------------------------------

    def _on_role(self, role: Role | None) -> None:
        """From the member's thread."""
        with self._roles:
            if role is None or not role.active:
                self._decides = False
            self._role = role
            self._roles.notify_all()
        if role is None and not self._closing.is_set():
            log.warning("this worker is out of the group %s and stops its work", self._options.group)
        elif role is not None and not role.active:
            log.info("%s is active in the group %s; this worker stands by", role.active_url, self._options.group)
        elif role is not None:
            log.info("this worker is active in the group %s, generation %d", self._options.group, role.generation)

    def _lead(self) -> None:
        """Take over and give up as the role says, one after the other."""
        leads = False
        while not self._closing.is_set():
            with self._roles:
                role = self._role
                wanted = role is not None and role.active
                if wanted == leads and not (leads and not self._decides):
                    if role is None:
                        with self.progress.during("ensuring membership in the cluster"):
                            self._roles.wait(RETRY_SECONDS)
                    else:
                        self._ready.set()
                        self._roles.wait(RETRY_SECONDS)
                    continue
            if leads:
                self._give_up()
                leads = False
            else:
                leads = self._take_over()

    def _take_over(self) -> bool:
        """Whether it worked out."""
        try:
            self._configs.read_to_end()
            self._status_log.read_to_end()
            self._worker.offsets.refresh()
            with self._roles:
                if self._role is None or not self._role.active:
                    return False
                self._rise_above(self._role.generation)
                self._decides = True
            self._renew_key()
        except ConnectError as exc:
            with self._roles:
                self._decides = False
            log.warning("the work of the group cannot be taken over yet, trying again: %s", exc)
            self._clock.wait(self._closing, RETRY_SECONDS)
            return False
        self._forget_the_unknown()
        names = list(self._snapshot.connectors)
        self._ready.set()
        with ThreadPoolExecutor(STARTING_AT_ONCE, thread_name_prefix="taking-up") as starting:
            for name in names:
                starting.submit(self._take_up, name)
        return True

    def _take_up(self, name: ConnectorName) -> None:
        try:
            self._reconcile(name)
        except Conflict:
            log.info("connector %s is left to another worker, which is active now", name)
        except SynclineError as exc:
            if not self._closing.is_set():
                log.error("connector %s cannot be taken up: %s", name, exc)

    def _give_up(self) -> None:
        """Stop everything here; somebody else may have begun with it."""
        for name in {*self._snapshot.connectors, *self._worker.connectors()}:
            self._worker.stop_tasks(self._worker.tasks_of(name))
            self._worker.stop_connector(name)

    def _admit(self) -> None:
        if self._decides:
            return
        role = self._role
        why = "(e.g. worker rebalance)" if role is None or role.active else f"of {role.active_url}, the active worker"
        raise Conflict(f"Cannot complete request because of a conflicting operation {why}")

    @property
    def _generation(self) -> int:
        role = self._role
        return max(self._generation_floor, 0 if role is None else role.generation)

    def _rise_above(self, generation: int) -> None:
        """Let what this worker reports outrank what is stored, also when the group began to count anew."""
        connectors, tasks = self._statuses.all()
        others = [s.generation for s in (*connectors.values(), *tasks.values()) if s.worker_id != self.worker_id]
        highest = max(others, default=-1)
        self._generation_floor = highest + 1 if highest >= generation else 0

    def _renew_key(self) -> None:
        """Workers of a JVM sign what they tell each other with a key they find in the topic."""
        known, now = self._snapshot.session_key, self._clock.wall_ms()
        if known is None or now - known.created_ms > self._options.key_ttl_ms:
            key = base64.b64encode(secrets.token_bytes(KEY_BYTES)).decode()
            self._record(SessionKey(key, KEY_ALGORITHM, now))

    def _forget_the_unknown(self) -> None:
        connectors, tasks = self._statuses.all()
        known = self._snapshot.connectors
        for name in {*connectors, *(task.connector for task in tasks), *self._statuses.connectors_with_topics()}:
            if name not in known:
                self._statuses.forget(name)
        self._statuses.forget_tasks(
            task for task in tasks if task.connector in known and task not in self._snapshot.tasks_of(task.connector)
        )

    # -- the config topic ---------------------------------------------------------------------

    def _record(self, *events: ConfigEvent) -> None:
        self._admit()
        with self._lock:
            self._recording += 1
        try:
            with current().during("writing to the config topic"):
                self._configs.write(map(configs.encode, events))
            with current().during("reading to the end of the config topic"):
                self._configs.read_to_end()
        finally:
            with self._lock:
                self._recording -= 1

    def _all_configs(self) -> Iterator[Raw]:
        return map(configs.encode, self._snapshot.events() if self._decides else ())

    def _absorb_configs(self, entries: Sequence[Entry]) -> None:
        """From the thread that reads the topic."""
        for entry in entries:
            try:
                event = configs.parse(entry.key, entry.value)
            except UnreadableRecord as exc:
                log.warning("topic %s, offset %d: %s; it is skipped", self._configs.plan.name, entry.offset, exc)
                continue
            with self._lock:
                self._snapshot = self._snapshot.fold([event], entry.offset + 1)
                # What was written by a request that has ended with an error meanwhile is nobody's, too.
                claimed = entry.own and self._recording > 0
            if self._live and not claimed:
                self._notice(event, own=entry.own)

    def _notice(self, event: ConfigEvent, *, own: bool) -> None:
        """Act on what somebody else wrote while this worker was looking."""
        match event:
            case ConnectorConfigured(name) | TargetSet(name) | TasksCommitted(name):
                self._notice_change(name)
            case RestartRequested() if not own:
                self._in_background(f"restart-{event.name}", lambda: self._obey(event))
            case LoggerSet(logger, level) if not own:
                self._in_background("log-level", lambda: self._set_logger_quietly(logger, level))

    def _notice_change(self, name: ConnectorName) -> None:
        with self._lock:
            if name in self._changed:
                return
            self._changed.add(name)
        self._in_background(f"reconcile-{name}", lambda: self._look_at_change(name))

    def _look_at_change(self, name: ConnectorName) -> None:
        # Whatever is read from now on is a change of its own.
        with self._lock:
            self._changed.discard(name)
        if self._decides:
            log.info("connector %s was changed in topic %s", name, self._configs.plan.name)
            self._reconcile(name)

    def _reconcile(self, name: ConnectorName) -> None:
        """Let run what is configured, whatever runs now."""
        with self._alone(name):
            if name not in self._snapshot.connectors:
                self._end(name)
                return
            self._worker.stop_tasks(self._worker.tasks_of(name))
            all_anew = False
            try:
                all_anew = self._restart_instance(name)
            except Exception as exc:  # a stranger's connector may fail in any way; its status tells why
                log.error("connector %s failed to start: %s", name, exc)
            if not all_anew and self._snapshot.target(name) is not Target.STOPPED:
                for task in self._snapshot.tasks_of(name):
                    self._start_task(task)

    def _start_task(self, task: TaskId) -> bool:
        return self._decides and super()._start_task(task)

    # -- restarts and log levels --------------------------------------------------------------

    def _announce(self, request: RestartRequested) -> None:
        self._record(request)

    def _obey(self, request: RestartRequested) -> None:
        statuses = self._statuses.of(request.name)
        if self._decides and statuses is not None and (plan := RestartPlan.of(request, statuses)):
            self._restart_later(request.name, plan)

    def set_cluster_logger(self, name: str, level: str | None) -> None:
        # Any worker may write it, active or not.
        self._configs.write([configs.encode(LoggerSet(name, check_level(level)))])
        self.set_logger(name, level)

    def _set_logger_quietly(self, name: str, level: str) -> None:
        try:
            self.set_logger(name, level)
        except SynclineError as exc:
            log.warning("the log level %s of %s, set by another worker, cannot be used: %s", level, name, exc)

    # -- the status topic ---------------------------------------------------------------------

    def _put_status(self, key: bytes, value: bytes | None) -> None:
        self._status_log.put(key, value)

    def _absorb_statuses(self, entries: Sequence[Entry]) -> None:
        for entry in entries:
            # What this worker wrote is in the table already, and something newer may be.
            if entry.own or entry.overtaken:
                continue
            try:
                self._statuses.absorb(entry.key, entry.value)
            except UnreadableRecord as exc:
                log.warning("topic %s: %s; it is skipped", self._status_log.plan.name, exc)
