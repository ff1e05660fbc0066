"""One running copy of a service, as those who call it need it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Protocol


class Status(StrEnum):
    """Eureka's words for what an instance can do now."""

    UP = "UP"
    STARTING = "STARTING"
    """It has its socket, but is not ready for requests."""
    DOWN = "DOWN"
    """It finishes what it has begun, or knows that something it needs is broken."""
    OUT_OF_SERVICE = "OUT_OF_SERVICE"
    """An operator took it out; it comes back when the operator says so."""
    UNKNOWN = "UNKNOWN"


@dataclass(frozen=True, slots=True, kw_only=True)
class Instance:
    """Where an instance listens. Equal addresses with different ids are different lives of a process."""

    id: str
    service: str
    """In lower case, as in paths: `order-service`."""
    url: str
    """`http://host:port`, without a slash at the end."""
    status: Status = Status.UP
    metadata: Mapping[str, str] = field(default_factory=dict)
    lease_seconds: float = 90
    """How long it counts as living without a sign of life."""

    @property
    def weight(self) -> float:
        """Its share under the policy weighted: the metadatum `weight`, 1 without one or with nonsense."""
        try:
            weight = float(self.metadata.get("weight", 1))
        except ValueError:
            return 1.0
        return weight if 0 < weight < float("inf") else 1.0


class Directory(Protocol):
    """Who is there. Reading never waits and never fails: it answers what is known."""

    def instances(self, service: str) -> Sequence[Instance]:
        """The instances of `service` that are UP, in a stable order; empty if nobody is known."""
        ...


class FixedDirectory:
    """Addresses from the configuration, for where no registry runs."""

    def __init__(self, addresses: Mapping[str, Sequence[str]]) -> None:
        self._instances = {
            service: tuple(
                # The same address given twice is two turns, as the one who wrote it wants.
                Instance(id=f"{url}#{number}", service=service, url=url.rstrip("/"))
                for number, url in enumerate(urls)
            )
            for service, urls in addresses.items()
        }

    def instances(self, service: str) -> Sequence[Instance]:
        return self._instances.get(service, ())
