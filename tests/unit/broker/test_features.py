"""The levels of features, and who may change them (KIP-584); messages are Apache Kafka 4.1's."""

from __future__ import annotations

from pathlib import Path

import pytest

from syncline.broker.errors import FEATURE_UPDATE_FAILED, KafkaError
from syncline.broker.features import Features
from syncline.broker.log import PartitionLog

UP, SAFE_DOWN = 1, 2


@pytest.fixture
def features(tmp_path: Path) -> Features:
    return Features(PartitionLog(tmp_path / "__cluster_metadata-0"), {})


def test_a_new_folder_has_the_highest_levels(features: Features) -> None:
    assert features.level("transaction.version") == 2
    assert {"name": "transaction.version", "max_version_level": 2, "min_version_level": 2} in features.described()[
        "finalized_features"
    ]


def test_a_level_is_lowered_only_on_purpose_and_is_written_down(features: Features) -> None:
    with pytest.raises(KafkaError, match="Can't downgrade the version"):
        features.update({"transaction.version": (1, UP)}, validate_only=False)
    before = features.described()["finalized_features_epoch"]
    features.update({"transaction.version": (0, SAFE_DOWN)}, validate_only=True)
    assert features.level("transaction.version") == 2
    features.update({"transaction.version": (0, SAFE_DOWN)}, validate_only=False)
    assert features.level("transaction.version") == 0
    described = features.described()
    assert described["finalized_features_epoch"] == before + 1
    assert [one["name"] for one in described["finalized_features"]] == ["group.version"]


@pytest.mark.parametrize(
    ("name", "level", "kind", "why"),
    [
        ("nothing", 1, UP, "does not support this feature"),
        ("transaction.version", 3, UP, "only supports versions 0-2"),
        ("transaction.version", -1, UP, "cannot be less than 0"),
        ("transaction.version", 1, 7, "does not support the given upgrade type"),
    ],
)
def test_all_changes_are_refused_for_one_that_is_not_possible(
    features: Features, name: str, level: int, kind: int, why: str
) -> None:
    with pytest.raises(KafkaError, match=why) as refused:
        features.update({"transaction.version": (1, SAFE_DOWN), name: (level, kind)}, validate_only=False)
    assert refused.value.code == FEATURE_UPDATE_FAILED
    assert features.level("transaction.version") == 2
