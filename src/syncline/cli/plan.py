"""What `up` is to start: from options, from a file `syncline.toml`, or by default, in this order of precedence."""

from __future__ import annotations

import difflib
import os
import re
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Any, Final

from syncline.errors import ConfigError

FILE: Final = "syncline.toml"
MOST_INSTANCES: Final = 20

_REFERENCE: Final = re.compile(r"\$\{env:([A-Za-z_][A-Za-z0-9_]*)\}")


@dataclass(frozen=True, kw_only=True)
class Ports:
    """Where the parts with fixed addresses listen; 0 takes a free port."""

    gateway: int = 8000
    connect: int = 8083
    broker: int = 9092
    discovery: int = 8761
    console: int = 8080

    @property
    def by_option(self) -> dict[str, int]:
        """By the option that chooses another one."""
        return {f"--{each.name}-port": getattr(self, each.name) for each in fields(self)}


@dataclass(frozen=True, kw_only=True)
class ServicePlan:
    """One kind of service."""

    instances: int = 1
    settings: Mapping[str, str] = field(default_factory=dict)
    """What its instances are told in their environment, without the service's prefix."""


@dataclass(frozen=True, kw_only=True)
class Plan:
    """The whole shop."""

    data: Path = Path(".syncline")
    database: str | None = None
    """A URL; None for SQLite files among the data."""
    ports: Ports = Ports()
    services: Mapping[str, ServicePlan] = field(
        default_factory=lambda: {
            "order": ServicePlan(instances=2),
            "catalog": ServicePlan(),
            "user": ServicePlan(),
        }
    )
    restart: bool = False
    """Whether a part that ends by itself is started again."""

    def with_instances(self, entries: Sequence[str]) -> Plan:
        """With `order=3`, several of them between commas, or `3` for order services."""
        services = dict(self.services)
        for entry in ",".join(entries).split(",") if entries else ():
            name, number = entry.split("=", 1) if "=" in entry else ("order", entry)
            service = _known("--instances", name.strip(), services)
            services[service] = replace(services[service], instances=_count("--instances", number.strip()))
        return replace(self, services=services)


def read_plan(path: Path | None) -> Plan:
    """From the file; without a path from `syncline.toml` here, if there is one. ConfigError names what is wrong."""
    found = path or Path(FILE)
    if path is None and not found.exists():
        return Plan()
    try:
        content = tomllib.loads(found.read_text(encoding="utf-8"))
    except FileNotFoundError as exc:
        raise ConfigError(f"there is no file {found}") from exc
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as exc:
        raise ConfigError(f"{found} cannot be read: {exc}") from exc
    return _plan(str(found), content, found.parent)


def _plan(name: str, content: Mapping[str, Any], folder: Path) -> Plan:
    plan = Plan()
    known = ["data", "database", "restart", "ports", "services"]
    for key in content:
        _known(name, key, known)
    return Plan(
        data=folder / _typed(f"{name}: data", content.get("data", str(plan.data)), str),
        database=_resolved(name, content.get("database")),
        restart=_typed(f"{name}: restart", content.get("restart", False), bool),
        ports=_ports(name, _typed(f"{name}: ports", content.get("ports", {}), dict)),
        services=_services(name, _typed(f"{name}: services", content.get("services", {}), dict), plan.services),
    )


def _resolved(name: str, database: Any) -> str | None:
    """The URL with its `${env:NAME}` filled in, so that no password has to stand in the file."""
    if database is None:
        return None

    def value(match: re.Match[str]) -> str:
        if match[1] not in os.environ:
            raise ConfigError(f"{name}: database refers to the environment variable {match[1]}, which is not set")
        return os.environ[match[1]]

    return _REFERENCE.sub(value, _typed(f"{name}: database", database, str))


def _ports(name: str, given: Mapping[str, Any]) -> Ports:
    names = [each.name for each in fields(Ports)]
    for key, port in given.items():
        _known(f"{name}: ports", key, names)
        if _typed(f"{name}: ports.{key}", port, int) not in range(65536):
            raise ConfigError(f"{name}: ports.{key} must be 0 to 65535, and is {port}")
    return Ports(**given)


def _services(name: str, given: Mapping[str, Any], defaults: Mapping[str, ServicePlan]) -> Mapping[str, ServicePlan]:
    services = dict(defaults)
    for key, entry in given.items():
        _known(f"{name}: services", key, services)
        table = dict(_typed(f"{name}: services.{key}", entry, dict))
        instances = table.pop("instances", services[key].instances)
        settings = _typed(f"{name}: services.{key}.settings", table.pop("settings", {}), dict)
        for unknown in table:
            _known(f"{name}: services.{key}", unknown, ["instances", "settings"])
        services[key] = ServicePlan(
            instances=_count(f"{name}: services.{key}.instances", str(instances)),
            settings={setting: _text(value) for setting, value in settings.items()},
        )
    return services


def _known(where: str, name: str, known: Sequence[str] | Mapping[str, Any]) -> str:
    if name in known:
        return name
    near = difflib.get_close_matches(name, known, n=1)
    hint = f"did you mean {near[0]}?" if near else f"known are {', '.join(known)}"
    raise ConfigError(f"{where}: there is no {name!r}; {hint}")


def _count(where: str, text: str) -> int:
    if not text.isascii() or not text.isdecimal() or int(text) > MOST_INSTANCES:
        raise ConfigError(f"{where}: {text!r} is no number from 0 to {MOST_INSTANCES}")
    return int(text)


def _typed(where: str, value: Any, kind: type) -> Any:
    if not isinstance(value, kind) or (kind is int and isinstance(value, bool)):
        wanted = {str: "a text", int: "a whole number", bool: "true or false", dict: "a table"}[kind]
        raise ConfigError(f"{where} must be {wanted}, and is {value!r}")
    return value


def _text(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)
