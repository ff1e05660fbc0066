"""How a source connector's topics are set up: the `topic.creation.*` options (KIP-158, spec/connect.md 2.6). Pure."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from syncline.errors import ConfigError

PREFIX: Final = "topic.creation."
DEFAULT: Final = "default"
BROKER_DEFAULT: Final = -1


@dataclass(frozen=True, slots=True)
class TopicPlan:
    """How to make a topic; -1 leaves a number to the broker."""

    partitions: int
    replication_factor: int
    configs: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class _Group:
    name: str
    include: tuple[re.Pattern[str], ...]
    exclude: tuple[re.Pattern[str], ...]
    plan: TopicPlan

    def takes(self, topic: str) -> bool:
        return any(p.fullmatch(topic) for p in self.include) and not any(p.fullmatch(topic) for p in self.exclude)


class TopicPlans:
    """The groups of a connector, in order; the default comes last."""

    def __init__(self, config: Mapping[str, str]) -> None:
        """ConfigError names every option that cannot be used."""
        self._groups: list[_Group] = []
        names = _listed(config, f"{PREFIX}groups")
        if not any(name.startswith(f"{PREFIX}{DEFAULT}.") for name in config) and not names:
            return
        errors: dict[str, list[str]] = {}
        default = _plan(config, DEFAULT, None, errors)
        for name in names:
            if name != DEFAULT:
                include = _patterns(config, f"{PREFIX}{name}.include", errors)
                exclude = _patterns(config, f"{PREFIX}{name}.exclude", errors)
                self._groups.append(_Group(name, include, exclude, _plan(config, name, default, errors)))
        self._groups.append(_Group(DEFAULT, (re.compile(".*"),), (), default))
        if errors:
            raise ConfigError(errors)

    def __bool__(self) -> bool:
        """Whether the connector sets up topics; otherwise the broker decides when the first record comes."""
        return bool(self._groups)

    def plan(self, topic: str) -> TopicPlan:
        """How to make `topic`: as the first group says that takes it."""
        return next(group.plan for group in self._groups if group.takes(topic))


_OWN_KEYS: Final = ("include", "exclude", "replication.factor", "partitions")


def _plan(config: Mapping[str, str], name: str, default: TopicPlan | None, errors: dict[str, list[str]]) -> TopicPlan:
    prefix = f"{PREFIX}{name}."
    return TopicPlan(
        _number(config, f"{prefix}partitions", default.partitions if default else None, errors),
        _number(config, f"{prefix}replication.factor", default.replication_factor if default else None, errors),
        {
            key.removeprefix(prefix): value
            for key, value in config.items()
            if key.startswith(prefix) and key.removeprefix(prefix) not in _OWN_KEYS
        },
    )


def _number(config: Mapping[str, str], key: str, default: int | None, errors: dict[str, list[str]]) -> int:
    text = (config.get(key) or "").strip()
    if not text and default is not None:
        return default
    if not text:
        errors[key] = [f'Missing required configuration "{key}" which has no default value.']
    elif not re.fullmatch(r"-?[0-9]+", text):
        errors[key] = [f"Invalid value {text} for configuration {key}: Not a number of type INT"]
    elif int(text) < 1 and int(text) != BROKER_DEFAULT:
        errors[key] = [f"Invalid value {text} for configuration {key}: give a positive number, or -1 for the broker's"]
    else:
        return int(text)
    return BROKER_DEFAULT


def _listed(config: Mapping[str, str], key: str) -> list[str]:
    return [part.strip() for part in (config.get(key) or "").split(",") if part.strip()]


def _patterns(config: Mapping[str, str], key: str, errors: dict[str, list[str]]) -> tuple[re.Pattern[str], ...]:
    found = []
    for text in _listed(config, key):
        try:
            found.append(re.compile(text))
        except re.error as exc:
            errors[key] = [f"Invalid value {text} for configuration {key}: Invalid regex: {exc}"]
    return tuple(found)
