"""Features: levels of the protocol that clients look up before they use them (KIP-584, KIP-1022).

`transaction.version` 2 is what makes clients use the second version of the transaction protocol (KIP-890).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from syncline.broker.errors import FEATURE_UPDATE_FAILED, KafkaError
from syncline.broker.log import PartitionLog

SUPPORTED: Final[Mapping[str, tuple[int, int]]] = {"group.version": (1, 1), "transaction.version": (0, 2)}
"""Lowest and highest level; a new folder has the highest of each."""

UPGRADE: Final = 1
_DOWNGRADES: Final = (2, 3)
"""Safe and unsafe: no level of ours writes anything that a lower one cannot read."""


class Features:
    """The levels of this broker, kept in its metadata log."""

    def __init__(self, metadata: PartitionLog, levels: Mapping[str, int]) -> None:
        self._metadata = metadata
        self._levels = {name: levels.get(name, highest) for name, (_, highest) in SUPPORTED.items()}

    def level(self, name: str) -> int:
        return self._levels[name]

    def described(self) -> dict[str, Any]:
        """The fields of an ApiVersions answer."""
        return {
            "supported_features": [
                {"name": name, "min_version": lowest, "max_version": highest}
                for name, (lowest, highest) in SUPPORTED.items()
            ],
            "finalized_features_epoch": self._metadata.end_offset,
            "finalized_features": [
                {"name": name, "max_version_level": level, "min_version_level": level}
                for name, level in self._levels.items()
                if level > 0
            ],
        }

    def update(self, wanted: Mapping[str, tuple[int, int]], *, validate_only: bool) -> None:
        """Change levels, each given with its upgrade type; all of them or, with a KafkaError, none."""
        for name, (level, kind) in wanted.items():
            self._check(name, level, kind)
        changed = {name: level for name, (level, _) in wanted.items() if level != self._levels[name]}
        if validate_only or not changed:
            return
        records: list[tuple[bytes | None, bytes | None]] = [
            (f"feature:{name}".encode(), str(level).encode()) for name, level in changed.items()
        ]
        self._metadata.append_records(records, 0)
        self._levels.update(changed)

    def _check(self, name: str, level: int, kind: int) -> None:
        lowest, highest = SUPPORTED.get(name, (0, -1))
        why = None
        if name not in SUPPORTED:
            why = "Local controller 1 does not support this feature."
        elif kind not in (UPGRADE, *_DOWNGRADES):
            why = "The controller does not support the given upgrade type."
        elif level < 0:
            why = "A feature version cannot be less than 0."
        elif not lowest <= level <= highest:
            why = f"Local controller 1 only supports versions {lowest}-{highest}"
        elif level < self._levels[name] and kind not in _DOWNGRADES:
            why = (
                "Can't downgrade the version of this feature without setting the upgrade type to either safe or "
                "unsafe downgrade."
            )
        if why is not None:
            raise KafkaError(
                FEATURE_UPDATE_FAILED,
                "The update failed for all features since the following feature had an error: "
                f"Invalid update version {level} for feature {name}. {why}",
            )
