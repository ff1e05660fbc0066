"""Which tables a source connector reads, who reads which, and noticing that they changed."""

from __future__ import annotations

import logging
import threading
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Final, TypeVar

from syncline.clock import SYSTEM_CLOCK, Clock
from syncline.connectors.jdbc.reading import TableName
from syncline.connectors.jdbc.source_config import SourceConfig
from syncline.errors import ConnectError, RetriableError

log = logging.getLogger(__name__)

T = TypeVar("T")

STOP_SECONDS: Final = 5.0
"""How long the end of a look at the tables is waited for."""


def selected(tables: Sequence[TableName], config: SourceConfig, quote: str) -> list[TableName]:
    """Those of `tables` the configuration asks for; ConnectError when two would share a topic."""
    if config.table_whitelist:
        names = set(config.table_whitelist)
        chosen = [table for table in tables if _named(table, names, quote)]
    elif config.table_blacklist:
        names = set(config.table_blacklist)
        chosen = [table for table in tables if not _named(table, names, quote)]
    else:
        chosen = [table for table in tables if _included(table, config)]
    twice = sorted(name for name, count in Counter(table.name for table in chosen).items() if count > 1)
    if twice:
        raise ConnectError(
            "The connector uses the unqualified table name as the topic name and has detected duplicate "
            f"unqualified table names: {', '.join(twice)}. Select among "
            f"{', '.join(table.full for table in chosen if table.name in twice)} by catalog.pattern, "
            "schema.pattern or full names in the table lists"
        )
    return chosen


def _named(table: TableName, names: set[str], quote: str) -> bool:
    return not names.isdisjoint((table.full, table.quoted(quote), table.name))


def _included(table: TableName, config: SourceConfig) -> bool:
    included, excluded = config.inclusions, config.exclusions
    if included and not any(pattern.fullmatch(table.full) for pattern in included):
        return False
    return not any(pattern.fullmatch(table.full) for pattern in excluded)


def split(items: Sequence[T], groups: int) -> list[list[T]]:
    """`items` in at most `groups` runs, none empty; the first runs get one more when they must differ."""
    count = min(len(items), groups)
    if not count:
        return []
    size, more = divmod(len(items), count)
    runs, start = [], 0
    for index in range(count):
        end = start + size + (index < more)
        runs.append(list(items[start:end]))
        start = end
    return runs


class TableMonitor:
    """Looks for tables again and again on a thread of its own."""

    def __init__(
        self,
        look: Callable[[], list[TableName]],
        *,
        interval_ms: int,
        changed: Callable[[], None],
        failed: Callable[[Exception], None],
        clock: Clock = SYSTEM_CLOCK,
    ) -> None:
        """`look` lists the tables and raises RetriableError when the database is away for now.

        `changed` is called when the list is another than `tables` last returned, `failed` once, when
        looking failed for good.
        """
        self._look = look
        self._interval = interval_ms / 1_000
        self._changed = changed
        self._failed = failed
        self._clock = clock
        self._stopping = threading.Event()
        self._known = threading.Condition()
        self._tables: list[TableName] | None = None
        self._error: Exception | None = None
        self._looked = False
        self._handed_out: list[TableName] | None = None
        self._asked = False
        self._thread = threading.Thread(target=self._run, name="jdbc-table-monitor", daemon=True)

    def start(self) -> None:
        """Begin looking."""
        self._thread.start()

    def stop(self, interrupt: Callable[[], None] = lambda: None) -> None:
        """End; nothing is reported afterwards. `interrupt` is called to shorten a look that is under way."""
        self._stopping.set()
        if self._thread.is_alive() and self._thread is not threading.current_thread():
            interrupt()
            # A connection attempt cannot be cut short; the thread ends by itself when it returns.
            self._thread.join(STOP_SECONDS)

    def first_look(self, seconds: float) -> None:
        """Wait at most so long for the first look to end, whether it found the database there or away.

        Raises what made it fail for good.
        """
        with self._known:
            self._known.wait_for(lambda: self._looked, seconds)
            if self._error is not None:
                raise self._error

    def tables(self, seconds: float) -> list[TableName] | None:
        """The newest list; None when even the first is not there after `seconds`.

        Raises what made looking fail for good.
        """
        with self._known:
            self._known.wait_for(lambda: self._tables is not None or self._error is not None, seconds)
            if self._error is not None:
                raise self._error
            self._handed_out, self._asked = self._tables, True
            return self._tables

    def _run(self) -> None:
        while True:
            try:
                found = self._look()
            except RetriableError as exc:
                log.warning("looking for tables failed and will be repeated: %s", exc)
                with self._known:
                    self._looked = True
                    self._known.notify_all()
            except Exception as exc:  # reported to the connector, which fails with it
                with self._known:
                    self._error, self._looked = exc, True
                    self._known.notify_all()
                    report = self._asked
                # Before the first answer `tables` raises it; reporting it too would fail the start twice.
                if report and not self._stopping.is_set():
                    self._failed(exc)
                return
            else:
                self._note(found)
            if self._clock.wait(self._stopping, self._interval):
                return

    def _note(self, found: list[TableName]) -> None:
        with self._known:
            self._tables, self._looked = found, True
            self._known.notify_all()
            changed = self._asked and found != self._handed_out
        if changed and not self._stopping.is_set():
            log.info("the tables are now %s", ", ".join(table.full for table in found) or "none")
            self._changed()
