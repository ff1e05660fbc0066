"""The classic group protocol, corner by corner."""

from __future__ import annotations

import pytest

from syncline.broker.errors import (
    COORDINATOR_NOT_AVAILABLE,
    FENCED_INSTANCE_ID,
    GROUP_MAX_SIZE_REACHED,
    ILLEGAL_GENERATION,
    INCONSISTENT_GROUP_PROTOCOL,
    MEMBER_ID_REQUIRED,
    NON_EMPTY_GROUP,
    NONE,
    REBALANCE_IN_PROGRESS,
    UNKNOWN_MEMBER_ID,
    KafkaError,
)
from syncline.broker.groups import Limits, State
from tests.unit.broker.group_driver import REBALANCE_S, SESSION_S, Driver, Store, answer
from tests.unit.broker.manual import ManualTime


@pytest.fixture
def driver(time: ManualTime) -> Driver:
    return Driver(time)


def refused(code: int) -> pytest.RaisesExc[KafkaError]:
    return pytest.RaisesExc(KafkaError, check=lambda error: error.code == code)


# -- joining ---------------------------------------------------------------------------------


def test_the_first_member_leads_a_generation_of_its_own(driver: Driver) -> None:
    joined = answer(driver.join())
    assert (joined.generation, joined.leader, joined.protocol) == (1, joined.member_id, "range")
    assert [peer.metadata for peer in joined.peers] == [b"topics"]
    assert driver.state() is State.COMPLETING


def test_a_member_is_stable_once_the_leader_has_brought_the_assignment(driver: Driver) -> None:
    joined = answer(driver.join())
    synced = answer(driver.sync(joined, {joined.member_id: b"all"}))
    assert (synced.assignment, synced.protocol_type, synced.protocol) == (b"all", "consumer", "range")
    assert driver.state() is State.STABLE


def test_a_client_that_can_is_given_its_id_before_it_counts(driver: Driver) -> None:
    told = answer(driver.join(takes_member_id=True))
    assert told.error == MEMBER_ID_REQUIRED
    assert told.member_id.startswith("client-")
    assert driver.group.members == {}
    joined = answer(driver.join(told.member_id, takes_member_id=True))
    assert joined.member_id == told.member_id
    assert driver.group.promised == frozenset()


def test_an_id_that_is_never_used_is_forgotten_after_a_session(driver: Driver, time: ManualTime) -> None:
    told = answer(driver.join(takes_member_id=True))
    time.advance(SESSION_S)
    with refused(UNKNOWN_MEMBER_ID):
        driver.join(told.member_id)
    assert time.scheduled == 0


def test_a_static_member_joins_at_once_with_an_id_made_from_its_instance(driver: Driver) -> None:
    joined = answer(driver.join(instance_id="one", takes_member_id=True))
    assert joined.error == NONE
    assert joined.member_id.startswith("one-")


def test_an_unknown_member_id_is_refused(driver: Driver) -> None:
    driver.join()
    with refused(UNKNOWN_MEMBER_ID):
        driver.join("somebody")


def test_a_newcomer_waits_for_the_others_to_rejoin(driver: Driver) -> None:
    (first,) = driver.stable(1)
    newcomer = driver.join()
    assert not newcomer.done()
    with refused(REBALANCE_IN_PROGRESS):
        driver.heartbeat(first)
    again = answer(driver.join(first.member_id))
    assert answer(newcomer).generation == again.generation == 2
    assert again.leader == first.member_id
    assert {peer.member_id for peer in again.peers} == {first.member_id, answer(newcomer).member_id}
    assert answer(newcomer).peers == ()


def test_who_does_not_rejoin_in_time_is_left_behind(driver: Driver, time: ManualTime) -> None:
    (first,) = driver.stable(1, session_s=REBALANCE_S * 2)
    newcomer = driver.join()
    time.advance(REBALANCE_S)
    assert answer(newcomer).leader == answer(newcomer).member_id
    with refused(UNKNOWN_MEMBER_ID):
        driver.heartbeat(first)


def test_the_most_patient_member_sets_the_rebalance_timeout(driver: Driver, time: ManualTime) -> None:
    driver.stable(1, session_s=1000, rebalance_s=REBALANCE_S * 3)
    newcomer = driver.join(rebalance_s=1)
    time.advance(REBALANCE_S * 2)
    assert not newcomer.done()
    time.advance(REBALANCE_S)
    assert answer(newcomer).error == NONE


def test_a_join_phase_waits_for_ids_that_were_handed_out(driver: Driver) -> None:
    (first,) = driver.stable(1)
    told = answer(driver.join(takes_member_id=True))
    assert driver.state() is State.STABLE
    again = driver.join(first.member_id)
    assert not again.done()
    joined = driver.join(told.member_id)
    assert answer(again).generation == answer(joined).generation


def test_an_unused_id_holds_a_join_phase_no_longer_than_its_session(driver: Driver, time: ManualTime) -> None:
    (first,) = driver.stable(1)
    driver.join(takes_member_id=True)
    again = driver.join(first.member_id)
    time.advance(SESSION_S)
    assert answer(again).generation == 2


def test_a_member_whose_answer_was_lost_may_join_again(driver: Driver) -> None:
    joined = answer(driver.join())
    assert answer(driver.join(joined.member_id)) == joined
    assert driver.group.generation == 1


def test_a_follower_that_joins_again_unchanged_disturbs_nobody(driver: Driver) -> None:
    _, follower = driver.stable(2)
    assert answer(driver.join(follower.member_id)).generation == follower.generation
    assert driver.state() is State.STABLE


@pytest.mark.parametrize("protocols", [(("range", b"other topics"),), (("range", b"topics"), ("x", b""))])
def test_a_follower_with_new_metadata_begins_a_rebalance(
    driver: Driver, protocols: tuple[tuple[str, bytes], ...]
) -> None:
    leader, follower = driver.stable(2)
    again = driver.join(follower.member_id, protocols=protocols)
    assert not again.done()
    assert answer(driver.join(leader.member_id)).generation == leader.generation + 1


def test_a_leader_that_joins_again_begins_a_rebalance(driver: Driver) -> None:
    leader, follower = driver.stable(2)
    again = driver.join(leader.member_id)
    assert not again.done()
    driver.join(follower.member_id)
    assert answer(again).generation == leader.generation + 1


def test_a_change_while_the_leader_assigns_begins_again(driver: Driver) -> None:
    (first,) = driver.stable(1)
    newcomer = driver.join()
    answer(driver.join(first.member_id))
    waiting = driver.sync(answer(newcomer))
    changed = driver.join(first.member_id, protocols=(("range", b"new"),))
    assert answer(waiting).error == REBALANCE_IN_PROGRESS
    assert not changed.done()


def test_joining_twice_waits_for_the_same_answer(driver: Driver) -> None:
    driver.stable(1)
    newcomer = driver.join_with_id()
    (member_id,) = (m.id for m in driver.group.members.values() if m.joining is not None)
    assert driver.join(member_id) is newcomer


# -- protocols -------------------------------------------------------------------------------


def test_any_protocol_type_is_served(driver: Driver) -> None:
    joined = answer(driver.join(protocol_type="connect", protocols=(("sessioned", b"url"),)))
    assert (joined.protocol_type, joined.protocol) == ("connect", "sessioned")


@pytest.mark.parametrize(
    ("protocol_type", "protocols"),
    [
        pytest.param("connect", (("range", b""),), id="another type"),
        pytest.param("consumer", (("sticky", b""),), id="no protocol in common"),
        pytest.param("consumer", (), id="no protocol"),
        pytest.param("", (("range", b""),), id="no type"),
    ],
)
def test_members_must_have_a_protocol_in_common(
    driver: Driver, protocol_type: str, protocols: tuple[tuple[str, bytes], ...]
) -> None:
    driver.stable(1)
    with refused(INCONSISTENT_GROUP_PROTOCOL):
        driver.join(protocol_type=protocol_type, protocols=protocols)
    assert driver.state() is State.STABLE


def test_an_emptied_group_may_change_its_type(driver: Driver) -> None:
    (only,) = driver.stable(1)
    driver.group.leave([(only.member_id, None)])
    assert answer(driver.join(protocol_type="connect")).protocol_type == "connect"


def test_the_protocol_most_members_prefer_is_chosen_among_those_all_know(driver: Driver) -> None:
    a, b = (("a", b"1"), ("c", b"3"), ("b", b"2")), (("b", b"2"), ("a", b"1"))
    first = answer(driver.join(protocols=a))
    second = driver.join(protocols=b)
    driver.join(first.member_id, protocols=a)
    third = driver.join(protocols=b)
    driver.join(answer(second).member_id, protocols=b)
    last = answer(driver.join(first.member_id, protocols=a))
    assert last.protocol == "b"
    assert {peer.metadata for peer in last.peers} == {b"2"}
    assert answer(third).protocol == "b"


def test_a_sync_that_names_other_protocols_is_refused(driver: Driver) -> None:
    joined = answer(driver.join())
    for facts in ({"protocol_type": "connect"}, {"protocol": "sticky"}):
        with refused(INCONSISTENT_GROUP_PROTOCOL):
            driver.group.sync(joined.member_id, None, joined.generation, {}, **facts)


# -- the initial delay -----------------------------------------------------------------------


@pytest.fixture
def delayed(time: ManualTime) -> Driver:
    return Driver(time, Limits(initial_delay_ms=3000))


def test_the_first_rebalance_waits_for_members_that_start_together(delayed: Driver, time: ManualTime) -> None:
    first = delayed.join()
    time.advance(2)
    second = delayed.join()
    time.advance(1)
    assert not first.done()  # somebody arrived, so it waits once more
    time.advance(3)
    assert answer(first).generation == answer(second).generation == 1


def test_the_initial_delay_ends_with_the_rebalance_timeout(delayed: Driver, time: ManualTime) -> None:
    first = delayed.join(rebalance_s=7)
    for _ in range(3):
        time.advance(2)
        delayed.join(rebalance_s=7)
    time.advance(1)
    assert answer(first).generation == 1
    assert len(delayed.group.members) == 4


def test_a_group_left_during_the_initial_delay_is_empty_again(delayed: Driver, time: ManualTime) -> None:
    waiting = delayed.join()
    (member_id,) = delayed.group.members
    assert delayed.group.leave([(member_id, None)]) == [NONE]
    assert answer(waiting).error == UNKNOWN_MEMBER_ID
    time.advance(3)
    assert delayed.state() is State.EMPTY


# -- syncing ---------------------------------------------------------------------------------


def test_followers_wait_for_the_leader(driver: Driver) -> None:
    leader, follower = driver.stable(2)
    driver.join(leader.member_id, protocols=(("range", b"new"),))
    follower = answer(driver.join(follower.member_id))
    waiting = driver.sync(follower)
    assert not waiting.done()
    driver.group.sync(leader.member_id, None, follower.generation, {follower.member_id: b"mine"})
    assert answer(waiting).assignment == b"mine"


def test_who_the_leader_forgot_gets_an_empty_assignment(driver: Driver) -> None:
    joined = answer(driver.join())
    assert answer(driver.sync(joined, {})).assignment == b""


def test_a_late_sync_gets_the_assignment(driver: Driver) -> None:
    _, follower = driver.stable(2)
    assert answer(driver.sync(follower)).assignment == b"1"


@pytest.mark.parametrize("generation", [0, 2])
def test_requests_of_another_generation_are_refused(driver: Driver, generation: int) -> None:
    (only,) = driver.stable(1)
    with refused(ILLEGAL_GENERATION):
        driver.group.sync(only.member_id, None, generation, {})
    with refused(ILLEGAL_GENERATION):
        driver.group.heartbeat(only.member_id, None, generation)
    with refused(ILLEGAL_GENERATION):
        driver.group.check_commit(only.member_id, None, generation)


def test_a_sync_during_the_join_phase_is_refused(driver: Driver) -> None:
    (only,) = driver.stable(1)
    driver.join()
    with refused(REBALANCE_IN_PROGRESS):
        driver.sync(only)


def test_a_leader_that_never_assigns_is_expelled(driver: Driver, time: ManualTime) -> None:
    leader, follower = driver.stable(2, session_s=1000)
    driver.join(leader.member_id)
    follower = answer(driver.join(follower.member_id, session_s=1000))
    waiting = driver.sync(follower)
    time.advance(REBALANCE_S)
    assert answer(waiting).error == REBALANCE_IN_PROGRESS
    assert answer(driver.join(follower.member_id)).leader == follower.member_id
    assert set(driver.group.members) == {follower.member_id}


def test_a_follower_that_never_syncs_is_expelled_from_a_stable_group(driver: Driver, time: ManualTime) -> None:
    leader, follower = driver.stable(2, session_s=1000)
    driver.join(leader.member_id, session_s=1000)
    driver.join(follower.member_id, session_s=1000)
    driver.group.sync(leader.member_id, None, driver.group.generation, {})
    assert driver.state() is State.STABLE
    time.advance(REBALANCE_S)
    assert driver.state() is State.PREPARING
    assert set(driver.group.members) == {leader.member_id}


# -- sessions --------------------------------------------------------------------------------


def test_heartbeats_keep_a_session_alive(driver: Driver, time: ManualTime) -> None:
    (only,) = driver.stable(1)
    for _ in range(5):
        time.advance(SESSION_S * 0.9)
        driver.heartbeat(only)
    time.advance(SESSION_S)
    with refused(UNKNOWN_MEMBER_ID):
        driver.heartbeat(only)
    assert (driver.state(), time.scheduled) == (State.EMPTY, 0)


def test_a_lost_member_begins_a_rebalance_of_the_others(driver: Driver, time: ManualTime) -> None:
    leader, follower = driver.stable(2)
    time.advance(SESSION_S * 0.9)
    driver.heartbeat(leader)
    time.advance(SESSION_S * 0.5)
    with refused(REBALANCE_IN_PROGRESS):
        driver.heartbeat(leader)
    assert follower.member_id not in driver.group.members
    assert answer(driver.join(leader.member_id)).generation == leader.generation + 1


def test_a_member_that_waits_for_others_does_not_expire(driver: Driver, time: ManualTime) -> None:
    leader, follower = driver.stable(2, session_s=SESSION_S)
    driver.join(leader.member_id)
    again = driver.join(follower.member_id)
    waiting = driver.sync(answer(again))
    time.advance(SESSION_S * 1.5)
    assert follower.member_id in driver.group.members
    assert leader.member_id not in driver.group.members  # it sent no heartbeat
    assert answer(waiting).error == REBALANCE_IN_PROGRESS


def test_a_first_join_that_waits_too_long_is_answered_with_an_error(driver: Driver, time: ManualTime) -> None:
    driver.stable(1, session_s=1000, rebalance_s=1000)
    newcomer = driver.join()
    time.advance(5 * 60)
    assert answer(newcomer).error == UNKNOWN_MEMBER_ID


def test_a_member_expelled_while_it_syncs_is_told(driver: Driver) -> None:
    leader, follower = driver.stable(2)
    driver.join(leader.member_id)
    follower = answer(driver.join(follower.member_id))
    waiting = driver.sync(follower)
    driver.group.leave([(follower.member_id, None)])
    assert answer(waiting).error == UNKNOWN_MEMBER_ID


# -- leaving ---------------------------------------------------------------------------------


def test_the_last_to_leave_empties_the_group(driver: Driver) -> None:
    (only,) = driver.stable(1)
    assert driver.group.leave([(only.member_id, None)]) == [NONE]
    assert (driver.state(), driver.group.generation) == (State.EMPTY, 2)
    assert driver.group.protocol_type == "consumer"


def test_members_leave_together_in_one_rebalance(driver: Driver) -> None:
    leader, second, third = driver.stable(3)
    codes = driver.group.leave([(second.member_id, None), ("ghost", None), (third.member_id, None)])
    assert codes == [NONE, UNKNOWN_MEMBER_ID, NONE]
    assert answer(driver.join(leader.member_id)).generation == leader.generation + 1


def test_a_handed_out_id_can_be_given_back(driver: Driver, time: ManualTime) -> None:
    (only,) = driver.stable(1)
    told = answer(driver.join(takes_member_id=True))
    assert driver.group.leave([(told.member_id, None)]) == [NONE]
    assert driver.state() is State.STABLE
    driver.heartbeat(only)


def test_an_administrator_removes_a_static_member_by_its_instance(driver: Driver) -> None:
    driver.stable(1, instance_id="one")
    assert driver.group.leave([("", "two"), ("", "one")]) == [UNKNOWN_MEMBER_ID, NONE]
    assert driver.state() is State.EMPTY


def test_a_fenced_member_cannot_make_its_successor_leave(driver: Driver) -> None:
    (old,) = driver.stable(1, instance_id="one")
    driver.join(instance_id="one")
    assert driver.group.leave([(old.member_id, "one")]) == [FENCED_INSTANCE_ID]
    assert driver.group.leave([(old.member_id, None)]) == [UNKNOWN_MEMBER_ID]


def test_a_leader_that_leaves_hands_over(driver: Driver) -> None:
    leader, follower = driver.stable(2)
    driver.group.leave([(leader.member_id, None)])
    assert answer(driver.join(follower.member_id)).leader == follower.member_id


# -- static members --------------------------------------------------------------------------


def test_a_static_member_that_restarts_gets_its_assignment_without_a_rebalance(driver: Driver) -> None:
    leader = answer(driver.join(instance_id="one"))
    follower_joins = driver.join(instance_id="two")
    driver.join(leader.member_id, instance_id="one")
    follower = answer(follower_joins)
    parts = {leader.member_id: b"a", follower.member_id: b"b"}
    driver.group.sync(leader.member_id, "one", follower.generation, parts)
    back = answer(driver.join(instance_id="two"))
    assert (back.generation, back.error) == (follower.generation, NONE)
    assert back.member_id != follower.member_id
    assert answer(driver.sync(back, instance_id="two")).assignment == b"b"
    with refused(FENCED_INSTANCE_ID):
        driver.heartbeat(follower, "two")
    with refused(UNKNOWN_MEMBER_ID):
        driver.heartbeat(follower)


def test_a_static_leader_that_restarts_may_skip_the_assignment(driver: Driver) -> None:
    (old,) = driver.stable(1, instance_id="one")
    back = answer(driver.join(instance_id="one", skips_assignment=True))
    assert (back.leader, back.skip_assignment) == (back.member_id, True)
    assert [peer.member_id for peer in back.peers] == [back.member_id]
    assert answer(driver.sync(back, instance_id="one")).assignment == b"0"
    assert old.member_id not in driver.group.members


def test_an_older_static_leader_is_told_that_another_leads(driver: Driver) -> None:
    (old,) = driver.stable(1, instance_id="one")
    back = answer(driver.join(instance_id="one", skips_assignment=False))
    assert (back.leader, back.skip_assignment, back.peers) == (old.member_id, False, ())
    assert driver.group.leader == back.member_id


def test_a_static_member_that_prefers_another_protocol_begins_a_rebalance(driver: Driver) -> None:
    both = (("range", b"1"), ("sticky", b"2"))
    (old,) = driver.stable(1, instance_id="one", protocols=both)
    back = answer(driver.join(instance_id="one", protocols=both[::-1]))
    assert (back.generation, back.protocol) == (old.generation + 1, "sticky")


def test_a_static_member_that_returns_while_others_wait_takes_part(driver: Driver) -> None:
    (old,) = driver.stable(1, instance_id="one")
    newcomer = driver.join(instance_id="two")
    stale = driver.join(old.member_id, instance_id="one", protocols=(("range", b"x"),))
    assert answer(stale).generation == answer(newcomer).generation
    back = driver.join(instance_id="one")  # the leader was assigning: it cannot know the new id
    assert not back.done()
    assert answer(driver.join(answer(newcomer).member_id, instance_id="two")).error == NONE
    assert answer(back).generation == answer(newcomer).generation + 1


def test_a_replaced_static_member_that_waits_is_fenced(driver: Driver) -> None:
    driver.stable(1, session_s=1000)
    waiting = driver.join(instance_id="one")
    driver.join(instance_id="one")
    assert answer(waiting).error == FENCED_INSTANCE_ID


def test_an_absent_static_member_keeps_its_place_through_a_rebalance(driver: Driver, time: ManualTime) -> None:
    (absent,) = driver.stable(1, instance_id="one", session_s=1000)
    newcomer = driver.join(session_s=1000)
    time.advance(REBALANCE_S)
    joined = answer(newcomer)
    assert {peer.member_id for peer in joined.peers} == {absent.member_id, joined.member_id}


def test_a_rebalance_that_nobody_joins_waits_for_the_sessions_of_static_members(
    driver: Driver, time: ManualTime
) -> None:
    driver.stable(1, instance_id="one", session_s=REBALANCE_S * 1.5)
    newcomer = driver.join_with_id(instance_id=None, session_s=5)
    (member_id,) = (m.id for m in driver.group.members.values() if m.instance_id is None)
    driver.group.leave([(member_id, None)])
    assert answer(newcomer).error == UNKNOWN_MEMBER_ID
    time.advance(REBALANCE_S)
    assert driver.state() is State.PREPARING
    time.advance(REBALANCE_S)
    assert driver.state() is State.EMPTY


def test_a_static_member_returns_to_a_full_group(time: ManualTime) -> None:
    driver = Driver(time, Limits(max_size=1))
    (old,) = driver.stable(1, instance_id="one")
    assert answer(driver.join(instance_id="one")).generation == old.generation


# -- size ------------------------------------------------------------------------------------


def test_a_full_group_takes_nobody_else(time: ManualTime) -> None:
    driver = Driver(time, Limits(max_size=2))
    driver.stable(2)
    with refused(GROUP_MAX_SIZE_REACHED):
        driver.join()
    assert driver.state() is State.STABLE


def test_an_overfull_group_loses_the_last_to_rejoin(time: ManualTime) -> None:
    driver = Driver(time)
    members = driver.stable(3)
    driver.group.limits = Limits(max_size=2)
    driver.group.resume()
    waiting = [driver.join(member.member_id) for member in members[:2]]
    assert not any(future.done() for future in waiting)
    with refused(GROUP_MAX_SIZE_REACHED):
        driver.join(members[2].member_id)
    assert {answer(future).generation for future in waiting} == {members[0].generation + 1}


# -- commits ---------------------------------------------------------------------------------


def test_an_empty_group_takes_commits_without_credentials(driver: Driver) -> None:
    driver.group.check_commit("", None, -1)


def test_a_group_with_members_wants_credentials(driver: Driver) -> None:
    (only,) = driver.stable(1)
    for member_id in ("", "ghost"):
        with refused(UNKNOWN_MEMBER_ID):
            driver.group.check_commit(member_id, None, -1)
    driver.group.check_commit(only.member_id, None, only.generation)


def test_members_may_commit_during_the_join_phase_but_not_while_the_leader_assigns(driver: Driver) -> None:
    (only,) = driver.stable(1)
    newcomer = driver.join()
    driver.group.check_commit(only.member_id, None, only.generation)
    joined = answer(driver.join(only.member_id))
    assert answer(newcomer).generation == joined.generation
    with refused(REBALANCE_IN_PROGRESS):
        driver.group.check_commit(only.member_id, None, joined.generation)


def test_a_commit_keeps_a_session_alive(driver: Driver, time: ManualTime) -> None:
    (only,) = driver.stable(1)
    for _ in range(3):
        time.advance(SESSION_S * 0.9)
        driver.group.check_commit(only.member_id, None, only.generation)


def test_a_replaced_static_member_cannot_commit(driver: Driver) -> None:
    (old,) = driver.stable(1, instance_id="one")
    driver.join(instance_id="one")
    with refused(FENCED_INSTANCE_ID):
        driver.group.check_commit(old.member_id, "one", old.generation)


def test_a_transaction_of_an_old_client_needs_no_credentials(driver: Driver) -> None:
    (only,) = driver.stable(1)
    driver.group.check_commit("", None, -1, transactional=True)
    with refused(ILLEGAL_GENERATION):
        driver.group.check_commit(only.member_id, None, 7, transactional=True)


# -- what survives, and what fails ------------------------------------------------------------


def test_an_assignment_is_stored_before_anybody_hears_of_it(driver: Driver) -> None:
    joined = answer(driver.join())
    driver.store.broken = True
    assert answer(driver.sync(joined, {joined.member_id: b"all"})).error == COORDINATOR_NOT_AVAILABLE
    assert driver.state() is State.PREPARING
    driver.store.broken = False
    again = answer(driver.join(joined.member_id))
    assert answer(driver.sync(again, {again.member_id: b"all"})).assignment == b"all"
    assert [(generation, parts) for _, generation, parts in driver.store.stored] == [(2, {joined.member_id: b"all"})]


def test_a_return_that_cannot_be_stored_leaves_the_old_member_in_place(driver: Driver) -> None:
    (old,) = driver.stable(1, instance_id="one")
    driver.store.broken = True
    with refused(COORDINATOR_NOT_AVAILABLE):
        driver.join(instance_id="one")
    driver.heartbeat(old, "one")


def test_a_group_read_back_goes_on_with_its_generation(driver: Driver, time: ManualTime) -> None:
    leader, follower = driver.stable(2)
    after = Driver(time, store=Store())
    after.group.state, after.group.generation = State.STABLE, driver.group.generation
    after.group.protocol_type, after.group.protocol = "consumer", "range"
    after.group.leader = leader.member_id
    after.group.members = driver.group.members
    after.group.resume()
    after.heartbeat(leader)
    assert answer(after.sync(follower)).assignment == b"1"
    time.advance(SESSION_S)
    assert after.state() is State.EMPTY


def test_only_an_empty_group_can_be_deleted(driver: Driver) -> None:
    driver.group.check_delete()
    driver.stable(1)
    with refused(NON_EMPTY_GROUP):
        driver.group.check_delete()


def test_closing_answers_everybody_and_leaves_no_timer(driver: Driver, time: ManualTime) -> None:
    driver.stable(1)
    waiting = driver.join()
    driver.join(takes_member_id=True)
    driver.group.close()
    assert answer(waiting).error == COORDINATOR_NOT_AVAILABLE
    assert time.scheduled == 0
