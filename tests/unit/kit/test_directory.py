"""What a caller believes about a registry that restarts, and how a service's time is passed on."""

from __future__ import annotations

from syncline.kit.discovery.client import Listing
from syncline.kit.discovery.instances import Instance, Status
from syncline.kit.http import deadline
from tests.unit.kit.manual_clock import ManualClock


def made(id_: str, status: Status = Status.UP, *, url: str = "") -> Instance:
    return Instance(id=id_, service="s", url=url or f"http://{id_}", status=status, lease_seconds=6)


def ids(listing: Listing, now: float) -> list[str]:
    return [instance.id for instance in listing.up("s", now)]


def test_only_those_that_are_up_take_requests_in_a_stable_order() -> None:
    listing = Listing().then("a.1", [made("c"), made("b", Status.DOWN), made("a")], 0)
    assert ids(listing, 0) == ["a", "c"]
    assert listing.up("other", 0) == ()


def test_who_leaves_is_gone_at_once() -> None:
    listing = Listing().then("a.1", [made("a"), made("b")], 0).then("a.2", [made("b")], 0)
    assert ids(listing, 0) == ["b"]


def test_a_restarted_registry_has_a_lease_time_to_hear_from_everybody() -> None:
    listing = Listing().then("a.9", [made("a"), made("b"), made("c")], 0).then("b.0", [], 10)
    assert ids(listing, 10) == ["a", "b", "c"]
    listing = listing.then("b.1", [made("a", Status.DOWN)], 12)
    assert ids(listing, 12) == ["b", "c"], "what it says about one holds"
    listing = listing.then("b.2", [made("a"), made("b")], 13)
    assert ids(listing, 15.9) == ["a", "b", "c"]
    assert ids(listing, 16.1) == ["a", "b"], "who has not come back by then has not lived"
    assert ids(listing.then("b.3", [made("a")], 17), 17) == ["a"], "once listed, one can leave again"


def test_a_new_life_on_an_old_address_replaces_the_old_one() -> None:
    listing = Listing().then("a.9", [made("a", url="http://h:1")], 0)
    assert ids(listing.then("b.1", [made("b", url="http://h:1")], 1), 1) == ["b"]


def test_two_restarts_in_a_row_give_another_lease_time() -> None:
    listing = Listing().then("a.1", [made("a")], 0).then("b.0", [], 5).then("c.0", [], 10)
    assert ids(listing, 15) == ["a"]
    assert ids(listing, 17) == []


def test_a_server_without_versions_is_taken_at_its_word() -> None:
    listing = Listing().then("", [made("a"), made("b")], 0).then("", [made("b")], 1)
    assert ids(listing, 1) == ["b"]


def test_a_deadline_is_a_moment_that_comes_nearer() -> None:
    clock = ManualClock()
    sent = deadline.header(1.5, clock)
    clock.now += 0.5
    assert deadline.parse(sent, clock) == 1.0
    clock.now += 2
    assert deadline.parse(sent, clock) == -1.0
    for text in ("", "soon", "-1", "1.5", "9" * 16, "٣"):
        assert deadline.parse(text, clock) is None


def test_a_task_without_a_deadline_has_no_limit() -> None:
    clock = ManualClock()
    assert deadline.remaining(clock) is None
    deadline.begin(2, clock)
    clock.now += 0.5
    assert deadline.remaining(clock) == 1.5
    deadline.begin(None, clock)
    assert deadline.remaining(clock) is None
