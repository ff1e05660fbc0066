"""How far a sink task has come."""

from __future__ import annotations

import pytest

from syncline.ids import TopicPartition
from syncline.worker.positions import Positions

T0, T1 = TopicPartition("t", 0), TopicPartition("t", 1)


def positions() -> Positions:
    made = Positions()
    made.gained([T0, T1])
    made.started({T0: 10, T1: 20})
    made.delivered({T0: 15, T1: 25})
    return made


def test_what_is_delivered_may_be_committed_once() -> None:
    made = positions()
    reached = made.reached()
    assert made.to_commit(reached, reached) == {T0: 15, T1: 25}
    made.committed(reached)
    assert made.to_commit(reached, reached) == {}


@pytest.mark.parametrize(
    ("stated", "committed"),
    [
        pytest.param({T0: 12}, {T0: 12}, id="less is fine"),
        pytest.param({T0: 16}, {}, id="more was never delivered"),
        pytest.param({T0: -1}, {}, id="negative means nothing"),
        pytest.param({TopicPartition("u", 0): 1}, {}, id="a foreign partition"),
    ],
)
def test_a_task_cannot_state_what_it_was_not_given(
    stated: dict[TopicPartition, int], committed: dict[TopicPartition, int]
) -> None:
    made = positions()
    assert made.to_commit(stated, made.reached()) == committed


def test_going_back_leads_to_the_last_commit_or_to_the_start() -> None:
    made = positions()
    made.committed({T0: 13})
    assert made.back_to_committed() == {T0: 13, T1: 20}


def test_a_partition_that_went_and_came_back_begins_anew() -> None:
    made = positions()
    made.gave_up([T0])
    made.delivered({T0: 99})
    assert made.reached() == {T1: 25}
    made.gained([T0])
    made.started({T0: 40})
    made.delivered({T0: 41})
    assert made.reached([T0]) == {T0: 41}
    assert made.back_to_committed() == {T0: 40, T1: 20}
    assert made.owned == {T0, T1}
