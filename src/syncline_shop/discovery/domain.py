"""The registry: leases, what operators override, and what has changed; pure, and lost with the process.

That is on purpose (Eureka's is, too): whoever lives registers again with the next renewal, so what the
registry would read back from a disk could only be older than that.

Self-preservation: when more than 15 % of the leases are overdue, the network is a likelier reason than
so many deaths, so none expires until renewals come again. One overdue lease always expires: in a small
registry a single death is more than 15 %, and Eureka's rule would keep it for ever.
"""

from __future__ import annotations

import secrets
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, replace
from enum import StrEnum

import msgspec

from syncline.kit.clock import SYSTEM_CLOCK, Clock
from syncline.kit.discovery.eureka import InstanceInfo, status_of
from syncline.kit.discovery.instances import Status


class UnknownInstance(LookupError):
    """No lease under this name: the instance has to register."""


class ActionType(StrEnum):
    """What became of an instance, in the words of `/apps/delta`."""

    ADDED = "ADDED"
    MODIFIED = "MODIFIED"
    DELETED = "DELETED"


@dataclass(frozen=True, slots=True)
class Held:
    """An instance with its lease."""

    info: InstanceInfo
    renewed: float
    """On the clock that never goes back."""

    def overdue(self, now: float) -> bool:
        return now - self.renewed > self.info.lease.duration_seconds


@dataclass(frozen=True, slots=True)
class Change:
    """The latest change of an instance, for clients that have the rest."""

    info: InstanceInfo
    at: float


Key = tuple[str, str]
"""Name of the application in upper case, id of the instance."""


class Registry:
    """Not for several threads. Times in what it returns are epoch milliseconds, as Eureka's."""

    def __init__(
        self,
        *,
        self_preservation: bool = True,
        renewing_share: float = 0.85,
        delta_seconds: float = 180,
        clock: Clock = SYSTEM_CLOCK,
    ) -> None:
        self.preserving = False
        """Whether overdue leases are kept at present."""
        self._self_preservation = self_preservation
        self._renewing_share = renewing_share
        self._delta_seconds = delta_seconds
        self._clock = clock
        self._held: dict[Key, Held] = {}
        self._overrides: dict[Key, Status] = {}
        self._changes: dict[Key, Change] = {}
        self._life = secrets.token_hex(4)
        self._count = 0

    @property
    def version(self) -> str:
        """Another one after every change, and in every life of the registry."""
        return f"{self._life}.{self._count}"

    @property
    def count(self) -> int:
        """Changes so far."""
        return self._count

    def register(self, info: InstanceInfo) -> None:
        """A new instance, or a new description of a known one.

        The later description wins: one that was under way when the instance described itself anew, and
        came after it, only renews. What an operator overrode holds, unless the instance says that it
        is not ready.
        """
        key = _key(info)
        known = self._held.get(key)
        if known and (known.info.last_dirty_timestamp or 0) > (info.last_dirty_timestamp or 0):
            self._held[key] = replace(known, renewed=self._clock.monotonic())
            return
        override = self._overrides.get(key, Status.UNKNOWN)
        status = status_of(info.status)
        if override is not Status.UNKNOWN and status not in (Status.DOWN, Status.STARTING):
            status = override
        now = self._clock.wall_ms()
        before = known.info.lease if known else info.lease
        lease = msgspec.structs.replace(
            info.lease,
            registered_at=now,
            renewed_at=now,
            evicted_at=0,
            up_since=before.up_since or (now if status is Status.UP else 0),
        )
        info = msgspec.structs.replace(
            info,
            instance_id=info.id,
            app=key[0],
            status=status.value,
            overridden_status=override.value,
            overridden_status_alt=None,
            lease_info=lease,
            last_dirty_timestamp=info.last_dirty_timestamp or now,
        )
        self._held[key] = Held(self._noted(key, info, ActionType.ADDED), self._clock.monotonic())

    def renew(self, app: str, instance_id: str, dirty: int | None = None) -> None:
        """A sign of life. UnknownInstance also when the instance has changed (`dirty`) since it registered."""
        held = self._find(app, instance_id)
        if dirty is not None and dirty > (held.info.last_dirty_timestamp or 0):
            raise UnknownInstance(f"{instance_id} has changed since it registered")
        lease = msgspec.structs.replace(held.info.lease, renewed_at=self._clock.wall_ms())
        info = msgspec.structs.replace(held.info, lease_info=lease)
        self._held[_key(info)] = Held(info, self._clock.monotonic())

    def cancel(self, app: str, instance_id: str) -> None:
        """The instance takes its leave."""
        self._drop(_key(self._find(app, instance_id).info))

    def override(self, app: str, instance_id: str, status: Status, dirty: int | None = None) -> None:
        """An operator's word, which holds until it is cleared or the lease ends."""
        held = self._find(app, instance_id)
        key = _key(held.info)
        self._overrides[key] = status
        self._change(key, dirty, status=status.value, overridden_status=status.value)

    def clear_override(self, app: str, instance_id: str, status: Status, dirty: int | None = None) -> None:
        """Take the operator's word back; `status` holds until the instance says something else."""
        key = _key(self._find(app, instance_id).info)
        if self._overrides.pop(key, None) is not None:
            self._change(key, dirty, status=status.value, overridden_status=Status.UNKNOWN.value)

    def add_metadata(self, app: str, instance_id: str, values: Mapping[str, str]) -> None:
        """Add to the metadata of an instance, until it describes itself anew."""
        info = self._find(app, instance_id).info
        self._change(_key(info), None, metadata={**info.texts, **values})

    def expire(self) -> list[InstanceInfo]:
        """End the leases that are overdue, unless too many are; those that were ended."""
        now = self._clock.monotonic()
        overdue = [key for key, held in self._held.items() if held.overdue(now)]
        renewing = len(self._held) - len(overdue)
        too_many = len(overdue) > 1 and renewing < self._renewing_share * len(self._held)
        self.preserving = self._self_preservation and too_many
        self._changes = {key: c for key, c in self._changes.items() if now - c.at <= self._delta_seconds}
        if self.preserving:
            return []
        return [self._drop(key) for key in overdue]

    def instances(self) -> list[InstanceInfo]:
        """Every instance, by application and id."""
        return [self._held[key].info for key in sorted(self._held)]

    def of(self, app: str) -> list[InstanceInfo]:
        """The instances of one application."""
        return [info for info in self.instances() if info.app == app.upper()]

    def get(self, app: str, instance_id: str) -> InstanceInfo:
        """One instance; UnknownInstance if there is none."""
        return self._find(app, instance_id).info

    def by_id(self, instance_id: str) -> InstanceInfo:
        """One instance of whatever application; UnknownInstance if there is none."""
        for info in self.instances():
            if info.id == instance_id:
                return info
        raise UnknownInstance(instance_id)

    def by_vip(self, vip: str, *, secure: bool = False) -> list[InstanceInfo]:
        """Those that are UP behind a virtual address; an instance may have several, with commas between."""
        return [
            info
            for info in self.instances()
            if info.status == Status.UP
            and vip.lower() in ((info.secure_vip_address if secure else info.vip_address) or "").lower().split(",")
        ]

    def changes(self) -> list[InstanceInfo]:
        """What changed of late, each instance once, as it is now or as it was when it went."""
        now = self._clock.monotonic()
        return [change.info for change in self._changes.values() if now - change.at <= self._delta_seconds]

    def counts(self) -> Counter[Status]:
        """How many instances have which status."""
        return Counter(Status(held.info.status) for held in self._held.values())

    def _find(self, app: str, instance_id: str) -> Held:
        held = self._held.get((app.upper(), instance_id))
        if held is None:
            raise UnknownInstance(f"{app} has no instance {instance_id}")
        return held

    def _change(self, key: Key, dirty: int | None, **members: object) -> None:
        held = self._held[key]
        info = held.info
        if dirty is not None and dirty > (info.last_dirty_timestamp or 0):
            members["last_dirty_timestamp"] = dirty
        if members.get("status") == Status.UP and not info.lease.up_since:
            members["lease_info"] = msgspec.structs.replace(info.lease, up_since=self._clock.wall_ms())
        changed = msgspec.structs.replace(info, **members)
        # No sign of life: the word came from somebody else.
        self._held[key] = Held(self._noted(key, changed, ActionType.MODIFIED), held.renewed)

    def _drop(self, key: Key) -> InstanceInfo:
        info = self._held.pop(key).info
        self._overrides.pop(key, None)
        lease = msgspec.structs.replace(info.lease, evicted_at=self._clock.wall_ms())
        return self._noted(key, msgspec.structs.replace(info, lease_info=lease), ActionType.DELETED)

    def _noted(self, key: Key, info: InstanceInfo, action: ActionType) -> InstanceInfo:
        """`info` as the latest change of its instance."""
        info = msgspec.structs.replace(info, action_type=action.value, last_updated_timestamp=self._clock.wall_ms())
        self._changes[key] = Change(info, self._clock.monotonic())
        self._count += 1
        return info


def _key(info: InstanceInfo) -> Key:
    return (info.app or "").upper(), info.id
