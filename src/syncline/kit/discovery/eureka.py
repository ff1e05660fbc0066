"""An instance in the words of Eureka's REST interface, as JSON (eureka-client 2.x, EurekaJacksonCodec).

Reading is lenient as Java's codec is: numbers and booleans may be texts, unknown members are ignored.
What is written is what a Eureka 2.x server writes, so that its clients read it: timestamps of the
instance as texts, those of the lease as numbers, ports as `{"$": 8080, "@enabled": "true"}`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final, TypeVar

import msgspec

from syncline.errors import SynclineError
from syncline.kit.discovery.instances import Instance, Status

DEFAULT_DATA_CENTER: Final = "com.netflix.appinfo.InstanceInfo$DefaultDataCenterInfo"
AMAZON_DATA_CENTER: Final = "com.netflix.appinfo.AmazonInfo"
EMPTY_MAP: Final = "java.util.Collections$EmptyMap"


class MalformedInstance(SynclineError):
    """What was sent is no instance; the text says which member is wrong."""


class Port(msgspec.Struct, frozen=True):
    """A port, and whether it may be used."""

    number: int = msgspec.field(name="$")
    enabled: bool = msgspec.field(name="@enabled", default=True)


class DataCenter(msgspec.Struct, frozen=True):
    """Where it runs; `metadata` is Amazon's."""

    name: str = "MyOwn"
    java_class: str = msgspec.field(name="@class", default=DEFAULT_DATA_CENTER)
    metadata: dict[str, Any] = {}


class LeaseInfo(msgspec.Struct, frozen=True, kw_only=True):
    """Its lease. The instance chooses the first two; the registry fills in the times, in epoch milliseconds."""

    renewal_seconds: int = msgspec.field(name="renewalIntervalInSecs", default=30)
    duration_seconds: int = msgspec.field(name="durationInSecs", default=90)
    registered_at: int = msgspec.field(name="registrationTimestamp", default=0)
    renewed_at: int = msgspec.field(name="lastRenewalTimestamp", default=0)
    evicted_at: int = msgspec.field(name="evictionTimestamp", default=0)
    up_since: int = msgspec.field(name="serviceUpTimestamp", default=0)


class InstanceInfo(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """All of what Eureka knows about an instance."""

    instance_id: str | None = None
    host_name: str | None = None
    app: str | None = None
    app_group_name: str | None = None
    ip_addr: str | None = None
    sid: str | None = None
    status: str = "UP"
    overridden_status: str | None = None
    # The same in the words of older clients and of XML.
    overridden_status_alt: str | None = msgspec.field(name="overriddenstatus", default=None)
    port: Port | None = None
    secure_port: Port | None = None
    country_id: int = 1
    data_center_info: DataCenter | None = None
    lease_info: LeaseInfo | None = None
    metadata: dict[str, str | int | float | bool | None] = {}
    home_page_url: str | None = None
    status_page_url: str | None = None
    health_check_url: str | None = None
    secure_health_check_url: str | None = None
    vip_address: str | None = None
    secure_vip_address: str | None = None
    is_coordinating_discovery_server: bool = False
    last_updated_timestamp: int = 0
    last_dirty_timestamp: int | None = None
    action_type: str | None = None
    asg_name: str | None = None

    @property
    def id(self) -> str:
        """Its id, or its host as Eureka has it for those who send none."""
        return self.instance_id or self.host_name or ""

    @property
    def lease(self) -> LeaseInfo:
        """Its lease, with Eureka's times where it said none."""
        return self.lease_info or LeaseInfo()

    @property
    def overridden(self) -> Status:
        """The status an operator or the instance's replica set; UNKNOWN for none."""
        return status_of(self.overridden_status or self.overridden_status_alt)

    @property
    def texts(self) -> dict[str, str]:
        """The metadata as texts."""
        return {name: _text(value) for name, value in self.metadata.items() if name != "@class" and value is not None}

    @property
    def url(self) -> str:
        """Where it listens, by the port that is enabled."""
        host = self.host_name or self.ip_addr or ""
        host = f"[{host}]" if ":" in host else host
        if self.port is None or (not self.port.enabled and self.secure_port and self.secure_port.enabled):
            return f"https://{host}:{self.secure_port.number if self.secure_port else 443}"
        return f"http://{host}:{self.port.number}"

    def seen_by_callers(self) -> Instance:
        """What a balancer needs of it."""
        return Instance(
            id=self.id,
            service=(self.app or "").lower(),
            url=self.url,
            status=status_of(self.status),
            metadata=self.texts,
            lease_seconds=self.lease.duration_seconds,
        )


def status_of(text: str | None) -> Status:
    """The status with this name in whatever case; UNKNOWN for anything else, as Java's enum does."""
    try:
        return Status((text or "").upper())
    except ValueError:
        return Status.UNKNOWN


def parse_instance(body: bytes) -> InstanceInfo:
    """From `{"instance": {...}}`. MalformedInstance says what is wrong."""
    return _decoded(body, _InstanceDocument).instance


def parse_applications(body: bytes) -> list[InstanceInfo]:
    """Every instance of `{"applications": {"application": [...]}}`."""
    return [
        instance
        for application in _decoded(body, _ApplicationsDocument).applications.application
        for instance in application.instance
    ]


def instance_document(info: InstanceInfo) -> dict[str, Any]:
    """The instance as a Eureka 2.x server writes it, without members that are not there."""
    data_center = info.data_center_info or DataCenter()
    lease = info.lease
    document: dict[str, Any] = {
        "instanceId": info.id,
        "hostName": info.host_name,
        "app": info.app,
        "appGroupName": info.app_group_name,
        "ipAddr": info.ip_addr,
        "sid": info.sid,
        "status": info.status,
        "overriddenStatus": info.overridden.value,
        "port": _port(info.port or Port(7001)),
        "securePort": _port(info.secure_port or Port(7002, enabled=False)),
        "countryId": info.country_id,
        "dataCenterInfo": {
            "@class": data_center.java_class,
            "name": data_center.name,
            **({"metadata": data_center.metadata} if data_center.metadata else {}),
        },
        "leaseInfo": msgspec.to_builtins(lease),
        "metadata": info.texts or {"@class": EMPTY_MAP},
        "homePageUrl": info.home_page_url,
        "statusPageUrl": info.status_page_url,
        "healthCheckUrl": info.health_check_url,
        "secureHealthCheckUrl": info.secure_health_check_url,
        "vipAddress": info.vip_address,
        "secureVipAddress": info.secure_vip_address,
        "isCoordinatingDiscoveryServer": _text(info.is_coordinating_discovery_server),
        "lastUpdatedTimestamp": str(info.last_updated_timestamp),
        "lastDirtyTimestamp": str(info.last_dirty_timestamp or 0),
        "actionType": info.action_type,
        "asgName": info.asg_name,
    }
    return {name: value for name, value in document.items() if value is not None}


def applications_document(instances: Sequence[InstanceInfo], version: int, counts: Mapping[Status, int]) -> Any:
    """`counts` are those of the whole registry, also where `instances` are only what changed."""
    by_name: dict[str, list[InstanceInfo]] = {}
    for info in instances:
        by_name.setdefault(info.app or "", []).append(info)
    return {
        "applications": {
            "versions__delta": str(version),
            "apps__hashcode": hash_code(counts),
            "application": [application_body(name, infos) for name, infos in by_name.items()],
        }
    }


def application_body(name: str, instances: Sequence[InstanceInfo]) -> dict[str, Any]:
    """One application with its instances."""
    return {"name": name, "instance": [instance_document(info) for info in instances]}


def hash_code(counts: Mapping[Status, int]) -> str:
    """`DOWN_1_UP_2_`: by which a client sees whether its copy and the changes make up the whole."""
    return "".join(f"{status}_{counts[status]}_" for status in sorted(counts) if counts[status])


class _InstanceDocument(msgspec.Struct):
    instance: InstanceInfo


class _Application(msgspec.Struct):
    name: str = ""
    instance: list[InstanceInfo] = []


class _Applications(msgspec.Struct):
    application: list[_Application] = []


class _ApplicationsDocument(msgspec.Struct):
    applications: _Applications


T = TypeVar("T")


def _decoded(body: bytes, kind: type[T]) -> T:
    try:
        return convert(msgspec.json.decode(body), kind)
    except (msgspec.DecodeError, RecursionError) as exc:
        raise MalformedInstance(f"this is no JSON: {exc}") from exc


def convert(document: object, kind: type[T]) -> T:
    """A document of plain values as `kind`; MalformedInstance says which member is wrong."""
    try:
        return msgspec.convert(document, kind, strict=False)
    except (msgspec.ValidationError, RecursionError) as exc:
        raise MalformedInstance(str(exc)) from exc


def _port(port: Port) -> dict[str, Any]:
    return {"$": port.number, "@enabled": _text(port.enabled)}


def _text(value: object) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)
