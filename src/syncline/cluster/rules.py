"""The framework's rules between options of a connector (spec/connect.md 1.8, 2.6); each finds (key, message) pairs."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Final

from syncline.api import PluginKind
from syncline.errors import ConfigError
from syncline.kafka.config import librdkafka, poll_records
from syncline.options.checks import refuse
from syncline.options.load import CheckedValue
from syncline.worker.settings import WorkerSettings

Found = Iterator[tuple[str, str]]

_LETTERS: Final = "errors.deadletterqueue.topic.name"
_OVERRIDE: Final = re.compile(r"(producer|consumer|admin)\.override\.(.+)")
_PRINCIPAL: Final = frozenset({"sasl.jaas.config", "sasl.mechanism", "security.protocol"})
_POLICY: Final = re.compile(r"(?:.*\.)?(All|None|Principal)(?:ConnectorClientConfigOverridePolicy)?")


def sink_errors(values: Mapping[str, CheckedValue], given: Mapping[str, str], settings: WorkerSettings) -> Found:
    """Topics, dead letters and group of a sink."""
    topics, regex = values["topics"].value or [], values["topics.regex"].value or ""
    letters = values[_LETTERS].value or ""
    if bool(topics) == bool(regex):
        text = (
            "topics and topics.regex are mutually exclusive options, but both are set."
            if topics
            else "Must configure one of topics or topics.regex"
        )
        yield from (("topics", text), ("topics.regex", text))
    if letters and letters in topics:
        yield (
            "topics",
            f"The DLQ topic '{letters}' may not be included in the list of topics ('topics=[{', '.join(topics)}]') "
            "consumed by the connector",
        )
    if letters and regex and not values["topics.regex"].errors and re.fullmatch(regex, letters):
        yield (
            "topics.regex",
            f"The DLQ topic '{letters}' may not be matched by the regex for the topics ('topics.regex={regex}') "
            "consumed by the connector",
        )
    yield from _group_errors(values, given, settings.properties.get("group.id"))


def _group_errors(values: Mapping[str, CheckedValue], given: Mapping[str, str], worker_group: str | None) -> Found:
    """A consumer must not join the group that the workers themselves form."""
    if not worker_group:
        return
    key = "consumer.override.group.id"
    name, override = values["name"].value, given.get(key)
    if override is not None and override.strip() == worker_group:
        yield key, f"Consumer group {override} conflicts with Connect worker group {worker_group}"
    elif override is None and name and f"connect-{name}" == worker_group:
        yield (
            "name",
            f"Consumer group for sink connector named {name} conflicts with Connect worker group {worker_group}",
        )


def source_errors(values: Mapping[str, CheckedValue], given: Mapping[str, str], settings: WorkerSettings) -> Found:
    """Topic creation and exactly-once delivery of a source."""
    if (values["exactly.once.support"].value or "").lower() == "required":
        yield "exactly.once.support", "This worker does not have exactly-once source support enabled."
    yield from _topic_creation_errors(values, given)


def _topic_creation_errors(values: Mapping[str, CheckedValue], given: Mapping[str, str]) -> Found:
    # The JVM worker finds none of these mistakes before the first record is sent.
    groups = list(dict.fromkeys(group for group in values["topic.creation.groups"].value or [] if group))
    if not groups and not any(key.startswith("topic.creation.default.") for key in given):
        return
    for required in ("topic.creation.default.replication.factor", "topic.creation.default.partitions"):
        if required not in given:
            yield required, f'Missing required configuration "{required}" which has no default value.'
    for group in ("default", *groups):
        for what in ("replication.factor", "partitions"):
            yield from _count_errors(f"topic.creation.{group}.{what}", given)
    for group in groups:
        if group == "default":
            yield "topic.creation.groups", "The group 'default' is always there and must not be listed."
            continue
        include, exclude = f"topic.creation.{group}.include", f"topic.creation.{group}.exclude"
        if not given.get(include, "").strip():
            yield include, f'Missing required configuration "{include}" which has no default value.'
        for key in (include, exclude):
            yield from _pattern_errors(key, given.get(key, ""))


def _count_errors(key: str, given: Mapping[str, str]) -> Found:
    text = given.get(key)
    if text is None:
        return
    if not re.fullmatch(r"[+-]?\d{1,9}", text.strip()):
        yield key, str(refuse(key, text, "Not a number of type INT"))
    elif int(text) < 1 and int(text) != -1:
        yield key, str(refuse(key, text, "Value must be at least 1, or -1 for the broker's default"))


def _pattern_errors(key: str, text: str) -> Found:
    for pattern in filter(None, (part.strip() for part in text.split(","))):
        try:
            re.compile(pattern)
        except re.error as exc:
            yield key, str(refuse(key, pattern, f"Invalid regex: {exc}"))


def override_errors(kind: PluginKind, given: Mapping[str, str], settings: WorkerSettings) -> Found:
    """Client settings that the worker's policy forbids, or that no client would take."""
    policy = override_policy(settings)
    used = set(_clients_of(kind, given))
    for key, value in given.items():
        found = _OVERRIDE.fullmatch(key)
        if found is None or found[1] not in used:
            continue
        name = found[2]
        if policy == "None" or (policy == "Principal" and name not in _PRINCIPAL):
            yield (
                key,
                f"The '{policy}' policy does not allow '{name}' to be overridden in the connector configuration.",
            )
            continue
        yield from ((key, text) for text in _refusals(name, value))


def override_policy(settings: WorkerSettings) -> str:
    """`All`, `None` or `Principal`; ConfigError for any other, since it was meant to forbid something."""
    text = settings.options.override_policy
    match = _POLICY.fullmatch(text.strip())
    if match is None:
        key = "connector.client.config.override.policy"
        raise ConfigError({key: [str(refuse(key, text, "known policies are All, None and Principal"))]})
    return match[1]


def _clients_of(kind: PluginKind, given: Mapping[str, str]) -> Iterator[str]:
    """Which clients the connector will have."""
    letters = bool(given.get(_LETTERS, "").strip())
    if kind is PluginKind.SINK:
        yield "consumer"
    if kind is PluginKind.SOURCE or letters:
        yield "producer"
    if letters or (kind is PluginKind.SOURCE and any(key.startswith("topic.creation.") for key in given)):
        yield "admin"


def _refusals(name: str, value: str) -> list[str]:
    try:
        librdkafka({name: value})
        if name == "max.poll.records":
            poll_records({name: value})
    except ConfigError as exc:
        return [text for texts in exc.errors.values() for text in texts]
    return []
