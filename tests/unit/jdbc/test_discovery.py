"""Which tables are read, by which task, and what happens when they change."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from syncline.connectors.jdbc.discovery import TableMonitor, selected, split
from syncline.connectors.jdbc.reading import TableName, split_names
from syncline.connectors.jdbc.source_config import SourceConfig
from syncline.errors import ConnectError, RetriableError

A, B, C = TableName("s", "a"), TableName("s", "b"), TableName("s", "c")


def chosen(tables: list[TableName], **lists: str) -> list[TableName]:
    properties = {f"table.{name.replace('_', '.')}": value for name, value in lists.items()}
    return selected(tables, SourceConfig.load({"mode": "bulk", **properties}), '"')


@pytest.mark.parametrize(
    "entry", ["a", "s.a", '"s"."a"', " a ", "x,a"], ids=["bare", "full", "quoted", "blanks", "with others"]
)
def test_a_whitelist_names_tables_in_any_way(entry: str) -> None:
    assert chosen([A, B], whitelist=entry) == [A]


@pytest.mark.parametrize("entry", ["`a`", "A", "db.s.a", "s", '"a"'])
def test_other_spellings_name_no_table(entry: str) -> None:
    assert chosen([A, B], whitelist=entry) == []


def test_a_blacklist_leaves_tables_out_and_yields_to_a_whitelist() -> None:
    assert chosen([A, B], blacklist="b") == [A]
    assert chosen([A, B], whitelist="b", blacklist="b") == [B]


def test_patterns_match_the_whole_full_name() -> None:
    assert chosen([A, B, C], include_list=r"s\..*", exclude_list=".*b") == [A, C]
    assert chosen([A, B], include_list="a") == []
    assert chosen([A, B]) == [A, B]


def test_two_tables_for_one_topic_are_refused() -> None:
    with pytest.raises(ConnectError, match=r"duplicate unqualified table names: a\..*s\.a, t\.a"):
        chosen([A, B, TableName("t", "a")])
    assert chosen([A, TableName("t", "a")], whitelist="t.a") == [TableName("t", "a")]


@given(st.lists(st.integers(), max_size=40), st.integers(1, 10))
def test_tables_are_split_into_even_runs(items: list[int], groups: int) -> None:
    runs = split(items, groups)
    assert [item for run in runs for item in run] == items
    assert len(runs) == min(groups, len(items))
    sizes = [len(run) for run in runs]
    assert sizes == sorted(sizes, reverse=True)
    assert not sizes or sizes[0] - sizes[-1] <= 1


@given(
    st.lists(
        st.builds(
            TableName,
            st.none() | st.text('a.," `é', min_size=1),
            st.text('a.," `é', min_size=1),
        ),
        max_size=5,
    ),
    st.sampled_from('"`'),
)
def test_a_list_of_quoted_names_is_read_back(names: list[TableName], quote: str) -> None:
    assert split_names(",".join(name.quoted(quote) for name in names), quote) == names


def test_unquoted_names_are_read_too() -> None:
    assert split_names("s.a, b", '"') == [A, TableName(None, "b")]


@pytest.mark.parametrize("text", ['"a', '"a"b', '"a"."b'])
def test_a_broken_list_of_names_is_refused(text: str) -> None:
    with pytest.raises(ConnectError, match="list of tables"):
        split_names(text, '"')


class Tables:
    """A database's tables, scripted; each look takes the next answer or repeats the last."""

    def __init__(self, *answers: list[TableName] | Exception) -> None:
        self.answers = list(answers)
        self.looked = threading.Semaphore(0)

    def __call__(self) -> list[TableName]:
        answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        self.looked.release()
        if isinstance(answer, Exception):
            raise answer
        return answer


Events = queue.Queue[object]


@pytest.fixture
def events() -> Events:
    return queue.Queue()


@pytest.fixture
def monitor(events: Events) -> Callable[[Tables], TableMonitor]:
    def make(tables: Tables) -> TableMonitor:
        return TableMonitor(tables, interval_ms=1, changed=lambda: events.put("changed"), failed=events.put)

    return make


def test_a_change_of_tables_is_reported(monitor: Callable[[Tables], TableMonitor], events: Events) -> None:
    tables = Tables([A])
    watching = monitor(tables)
    watching.start()
    try:
        assert watching.tables(10) == [A]
        tables.answers.append([A, B])
        assert events.get(timeout=10) == "changed"
        assert watching.tables(10) == [A, B]
    finally:
        watching.stop()


def test_tables_that_come_too_late_for_the_first_answer_are_reported(
    monitor: Callable[[Tables], TableMonitor], events: Events
) -> None:
    watching = monitor(Tables([A]))
    assert watching.tables(0) is None
    watching.start()
    try:
        assert events.get(timeout=10) == "changed"
    finally:
        watching.stop()


def test_a_database_that_is_away_is_asked_again(monitor: Callable[[Tables], TableMonitor], events: Events) -> None:
    watching = monitor(Tables(RetriableError("away"), [A]))
    watching.start()
    try:
        assert watching.tables(10) == [A]
    finally:
        watching.stop()
    assert events.empty()


def test_the_first_look_ends_also_when_the_database_is_away(
    monitor: Callable[[Tables], TableMonitor], events: Events
) -> None:
    watching = monitor(Tables(RetriableError("away"), [A]))
    watching.start()
    try:
        watching.first_look(10)
        assert watching.tables(10) == [A]
    finally:
        watching.stop()
    assert events.empty()


def test_the_first_look_raises_what_fails_for_good(monitor: Callable[[Tables], TableMonitor], events: Events) -> None:
    watching = monitor(Tables(ConnectError("no")))
    watching.start()
    with pytest.raises(ConnectError, match="no"):
        watching.first_look(10)
    watching.stop()
    assert events.empty()


def test_any_other_failure_ends_the_monitor_and_is_raised(
    monitor: Callable[[Tables], TableMonitor], events: Events
) -> None:
    failure = ConnectError("no")
    watching = monitor(Tables(failure))
    watching.start()
    with pytest.raises(ConnectError, match="no"):
        watching.tables(10)
    watching.stop()
    assert events.empty()


def test_a_failure_after_the_first_answer_is_reported_once(
    monitor: Callable[[Tables], TableMonitor], events: Events
) -> None:
    tables = Tables([A])
    watching = monitor(tables)
    watching.start()
    assert watching.tables(10) == [A]
    failure = ConnectError("no")
    tables.answers.append(failure)
    assert events.get(timeout=10) is failure
    watching.stop()
    assert events.empty()


def test_stopping_twice_or_before_the_start_does_nothing(
    monitor: Callable[[Tables], TableMonitor],
) -> None:
    watching = monitor(Tables([A]))
    watching.stop()
    watching.stop()
