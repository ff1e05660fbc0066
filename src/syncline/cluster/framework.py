"""Connector options of the framework itself (spec/connect.md 2.6), in Kafka Connect's order."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

from syncline.api import Plugin, PluginKind
from syncline.cluster.versions import satisfies
from syncline.options import Importance, Kind, Option, Width, any_case, at_least, non_empty, one_of, option, options_of
from syncline.options.checks import refuse
from syncline.options.option import Recommend
from syncline.worker.plugins import Plugins

_COMMON: Final = "Common"
_ERRORS: Final = "Error Handling"
_EOS: Final = "Exactly Once Support"
HIGH, MEDIUM, LOW = Importance.HIGH, Importance.MEDIUM, Importance.LOW
CONVERTER_KEYS: Final = {
    "key.converter": PluginKind.CONVERTER,
    "value.converter": PluginKind.CONVERTER,
    "header.converter": PluginKind.HEADER_CONVERTER,
}


def _name(name: str, value: Any) -> None:
    if value is None:
        return
    if not value:
        raise refuse(name, value, "String may not be empty")
    controls = [str(ord(letter)) for letter in value if ord(letter) < 32 or 127 <= ord(letter) < 160]
    if controls:
        raise refuse(
            name,
            value,
            f"String may not contain control sequences but had the following ASCII chars: {', '.join(controls)}",
        )


def _unique(name: str, value: Any) -> None:
    if value is not None and len(set(value)) != len(value):
        raise refuse(name, value, "Duplicate alias provided.")


def _regex(name: str, value: Any) -> None:
    try:
        re.compile(value or "")
    except re.error as exc:
        raise refuse(name, value, f"Invalid regex: {exc}") from exc


def _no_less_than_zero(name: str, value: Any) -> None:
    if value is not None:
        at_least(0)(name, value)


def check_version(plugin: Plugin, wanted: str | None) -> str | None:
    """What is wrong with a wish for a version of `plugin`; None when it is fulfilled, as no wish is."""
    if not wanted or not wanted.strip():
        return None
    try:
        if satisfies(plugin.version, wanted):
            return None
    except ValueError as exc:
        return str(exc)
    return f"Plugin {plugin.java_class} has no version {wanted}, only {plugin.version}"


@dataclass(frozen=True, kw_only=True)
class CommonOptions:
    """Of every connector."""

    name: str = option(
        "name",
        "Globally unique name of the connector.",
        importance=HIGH,
        group=_COMMON,
        order=1,
        width=Width.MEDIUM,
        display="Connector name",
        check=_name,
    )
    connector_class: str = option(
        "connector.class",
        "Class name or alias of the connector.",
        importance=HIGH,
        group=_COMMON,
        order=2,
        width=Width.LONG,
        display="Connector class",
    )
    connector_version: str | None = option(
        "connector.plugin.version",
        "Version of the connector.",
        default=None,
        group=_COMMON,
        order=3,
        width=Width.MEDIUM,
        display="Connector version",
    )
    tasks_max: int = option(
        "tasks.max",
        "How many tasks the connector may have.",
        kind=Kind.INT,
        default="1",
        importance=HIGH,
        group=_COMMON,
        order=4,
        width=Width.SHORT,
        display="Tasks max",
        check=at_least(1),
    )
    tasks_max_enforce: bool = option(
        "tasks.max.enforce",
        "Whether a connector with more tasks fails.",
        kind=Kind.BOOLEAN,
        default="true",
        importance=LOW,
        group=_COMMON,
        order=5,
        width=Width.SHORT,
        display="Enforce tasks max",
    )
    key_converter: str | None = option(
        "key.converter",
        "Class of the key converter; the worker's when absent.",
        kind=Kind.CLASS,
        default=None,
        importance=LOW,
        group=_COMMON,
        order=6,
        width=Width.SHORT,
        display="Key converter class",
    )
    key_converter_version: str | None = option(
        "key.converter.plugin.version",
        "Version of the key converter.",
        default=None,
        importance=LOW,
        group=_COMMON,
        order=7,
        width=Width.SHORT,
        display="Key converter version",
    )
    value_converter: str | None = option(
        "value.converter",
        "Class of the value converter; the worker's when absent.",
        kind=Kind.CLASS,
        default=None,
        importance=LOW,
        group=_COMMON,
        order=8,
        width=Width.SHORT,
        display="Value converter class",
    )
    value_converter_version: str | None = option(
        "value.converter.plugin.version",
        "Version of the value converter.",
        default=None,
        importance=LOW,
        group=_COMMON,
        order=9,
        width=Width.SHORT,
        display="Value converter version",
    )
    header_converter: str | None = option(
        "header.converter",
        "Class of the header converter; the worker's when absent.",
        kind=Kind.CLASS,
        default=None,
        importance=LOW,
        group=_COMMON,
        order=10,
        width=Width.SHORT,
        display="Header converter class",
    )
    header_converter_version: str | None = option(
        "header.converter.plugin.version",
        "Version of the header converter.",
        default=None,
        importance=LOW,
        group=_COMMON,
        order=11,
        width=Width.SHORT,
        display="Header converter version",
    )
    transforms: list[str] = option(
        "transforms",
        "Aliases of the transforms, in order.",
        kind=Kind.LIST,
        default="",
        importance=LOW,
        group="Transforms",
        order=12,
        width=Width.LONG,
        display="Transforms",
        check=_unique,
    )
    predicates: list[str] = option(
        "predicates",
        "Aliases of the predicates.",
        kind=Kind.LIST,
        default="",
        importance=LOW,
        group="Predicates",
        order=13,
        width=Width.LONG,
        display="Predicates",
        check=_unique,
    )
    reload: str = option(
        "config.action.reload",
        "What happens when a config provider's value expires: none or restart.",
        default="restart",
        importance=LOW,
        group=_COMMON,
        order=14,
        width=Width.MEDIUM,
        display="Reload Action",
        check=one_of(["none", "restart"]),
    )
    retry_timeout: int = option(
        "errors.retry.timeout",
        "Milliseconds a failed operation is tried again; 0 never, -1 for ever.",
        kind=Kind.LONG,
        default="0",
        group=_ERRORS,
        order=1,
        width=Width.MEDIUM,
        display="Retry Timeout for Errors",
    )
    retry_delay: int = option(
        "errors.retry.delay.max.ms",
        "Most milliseconds between two tries.",
        kind=Kind.LONG,
        default="60000",
        group=_ERRORS,
        order=2,
        width=Width.MEDIUM,
        display="Maximum Delay Between Retries for Errors",
    )
    tolerance: str = option(
        "errors.tolerance",
        "none fails the task at the first bad record, all sets bad records aside.",
        default="none",
        group=_ERRORS,
        order=3,
        width=Width.SHORT,
        display="Error Tolerance",
        check=one_of(["none", "all"]),
    )
    log_errors: bool = option(
        "errors.log.enable",
        "Whether each failure is logged.",
        kind=Kind.BOOLEAN,
        default="false",
        group=_ERRORS,
        order=4,
        width=Width.SHORT,
        display="Log Errors",
    )
    log_messages: bool = option(
        "errors.log.include.messages",
        "Whether the log names the record.",
        kind=Kind.BOOLEAN,
        default="false",
        group=_ERRORS,
        order=5,
        width=Width.SHORT,
        display="Log Error Details",
    )


@dataclass(frozen=True, kw_only=True)
class SinkOptions:
    """Of sinks, besides the common ones."""

    topics: list[str] = option(
        "topics",
        "Topics to read, with commas between.",
        kind=Kind.LIST,
        default="",
        importance=HIGH,
        group=_COMMON,
        order=4,
        width=Width.LONG,
        display="Topics",
    )
    regex: str = option(
        "topics.regex",
        "Regular expression of the topics to read.",
        default="",
        importance=HIGH,
        group=_COMMON,
        order=4,
        width=Width.LONG,
        display="Topics regex",
        check=_regex,
    )
    letters: str = option(
        "errors.deadletterqueue.topic.name",
        "Topic for records that cannot be written; none when empty.",
        default="",
        group=_ERRORS,
        order=6,
        width=Width.MEDIUM,
        display="Dead Letter Queue Topic Name",
    )
    letters_factor: int = option(
        "errors.deadletterqueue.topic.replication.factor",
        "Replicas of that topic if it is made.",
        kind=Kind.SHORT,
        default="3",
        group=_ERRORS,
        order=7,
        width=Width.MEDIUM,
        display="Dead Letter Queue Topic Replication Factor",
    )
    letters_headers: bool = option(
        "errors.deadletterqueue.context.headers.enable",
        "Whether dead letters say in headers why they are there.",
        kind=Kind.BOOLEAN,
        default="false",
        group=_ERRORS,
        order=8,
        width=Width.MEDIUM,
        display="Enable Error Context Headers",
    )


@dataclass(frozen=True, kw_only=True)
class SourceOptions:
    """Of sources, besides the common ones."""

    groups: list[str] = option(
        "topic.creation.groups",
        "Groups of topics with settings of their own.",
        kind=Kind.LIST,
        default="",
        importance=LOW,
        group="Topic Creation",
        order=1,
        width=Width.LONG,
        display="Topic Creation Groups",
        check=_unique,
    )
    support: str = option(
        "exactly.once.support",
        "requested or required.",
        default="requested",
        group=_EOS,
        order=2,
        width=Width.SHORT,
        display="Exactly once support",
        check=any_case(["requested", "required"]),
    )
    boundary: str = option(
        "transaction.boundary",
        "poll, interval or connector.",
        default="poll",
        group=_EOS,
        order=3,
        width=Width.SHORT,
        display="Transaction Boundary",
        check=any_case(["interval", "poll", "connector"]),
    )
    interval: int | None = option(
        "transaction.boundary.interval.ms",
        "Milliseconds between transactions with boundary interval.",
        kind=Kind.LONG,
        default=None,
        importance=LOW,
        group=_EOS,
        order=4,
        width=Width.SHORT,
        display="Transaction boundary interval",
        check=_no_less_than_zero,
    )
    offsets_topic: str | None = option(
        "offsets.storage.topic",
        "Topic for this connector's offsets; the worker's when absent.",
        default=None,
        importance=LOW,
        group="offsets.topic",
        order=1,
        width=Width.LONG,
        display="Offsets topic",
        check=non_empty,
    )


@dataclass(frozen=True, slots=True)
class Kindred:
    """Transforms or predicates: the words of their options."""

    kind: PluginKind
    key: str
    """The option that lists the aliases, and the prefix of all others."""
    title: str
    noun: str


TRANSFORMS: Final = Kindred(PluginKind.TRANSFORMATION, "transforms", "Transforms", "Transformation")
PREDICATES: Final = Kindred(PluginKind.PREDICATE, "predicates", "Predicates", "Predicate")


def framework_options(plugins: Plugins, plugin: Plugin, converters: Mapping[str, str]) -> list[Option]:
    """The framework's options for a connector; `converters` gives the defaults of the converter keys."""
    kind = SinkOptions if plugin.kind is PluginKind.SINK else SourceOptions
    completed = _plugin_choices(plugins, plugin, converters)
    return [completed.get(option.name, option) for option in (*options_of(CommonOptions), *options_of(kind))]


def _plugin_choices(plugins: Plugins, plugin: Plugin, converters: Mapping[str, str]) -> dict[str, Option]:
    """The options that depend on what is installed, by name."""
    declared = {option.name: option for option in options_of(CommonOptions)}
    version = declared["connector.plugin.version"]
    made = [replace(version, default=plugin.version, recommend=_always([plugin.version]))]
    for key, kind in CONVERTER_KEYS.items():
        default = converters.get(key)
        chosen = plugins.find(default, kind) if default else None
        names = sorted(known.java_class for known in plugins.of(kind))
        versions = sorted({known.version for known in plugins.of(kind)})
        made += [
            replace(declared[key], default=default, recommend=_always(names)),
            replace(
                declared[f"{key}.plugin.version"],
                default=chosen.version if chosen is not None else None,
                recommend=_always([chosen.version] if chosen is not None else versions),
            ),
        ]
    return {option.name: option for option in made}


def alias_options(plugins: Plugins, what: Kindred, alias: str) -> list[Option]:
    """The options that name one transform or predicate."""
    prefix, group = f"{what.key}.{alias}.", f"{what.title}: {alias}"
    names = sorted(plugin.java_class for plugin in plugins.of(what.kind))
    article = f"the {what.noun.lower()} {alias}"
    return [
        Option(
            name=f"{prefix}type",
            doc=f"Class of {article}.",
            kind=Kind.CLASS,
            required=True,
            importance=HIGH,
            group=group,
            order=0,
            width=Width.LONG,
            display=f"{what.noun} type for {alias}",
            recommend=_always(names),
        ),
        Option(
            name=f"{prefix}plugin.version",
            doc=f"Version of {article}.",
            importance=LOW,
            group=group,
            order=1,
            width=Width.MEDIUM,
            display=f"{what.noun} version for {alias}",
        ),
    ]


CONDITION: Final = (
    Option(
        name="predicate",
        doc="Alias of the predicate that decides to which records the transformation applies.",
    ),
    Option(
        name="negate",
        doc="Whether it applies to the other records instead.",
        kind=Kind.BOOLEAN,
        default="false",
    ),
)
"""What every transform has besides its own options."""


def embedded(what: Kindred, alias: str, options: Iterable[Option], first: int) -> list[Option]:
    """A plug-in's options as a connector's, numbered from `first`, in the order of Kafka's `ConfigDef.embed`.

    The plug-in's own groups and numbers decide first, then what must be given, importance and name.
    """
    own = list(options)
    groups = [None, *dict.fromkeys(option.group for option in own if option.group is not None)]
    importances = list(Importance)

    def rank(option: Option) -> tuple[int, int, bool, int, str]:
        importance = importances.index(option.importance)
        return groups.index(option.group), option.order, not option.required, importance, option.name

    prefix, group = f"{what.key}.{alias}.", f"{what.title}: {alias}"
    return [
        replace(
            prefixed(option, prefix),
            group=group if option.group is None else f"{group}: {option.group}",
            order=order,
        )
        for order, option in enumerate(sorted(own, key=rank), first)
    ]


def prefixed(option: Option, prefix: str) -> Option:
    """A plug-in's option under the name it has in a connector's configuration."""
    recommend, visible = option.recommend, option.visible

    def own(values: Mapping[str, Any]) -> dict[str, Any]:
        return {name.removeprefix(prefix): value for name, value in values.items()}

    return replace(
        option,
        name=f"{prefix}{option.name}",
        display=option.display or option.name,
        dependents=tuple(f"{prefix}{name}" for name in option.dependents),
        recommend=None if recommend is None else lambda values: recommend(own(values)),
        visible=None if visible is None else lambda values: visible(own(values)),
    )


def _always(values: Sequence[str]) -> Recommend:
    return lambda parsed: values
