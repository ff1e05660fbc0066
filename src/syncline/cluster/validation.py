"""A configuration and its plug-ins, checked whole: the answer of Connect's validate call (spec/connect.md 1.8)."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Final

from syncline.api import Plugin, PluginKind
from syncline.cluster.framework import CONVERTER_KEYS, framework_options
from syncline.errors import BadRequest, ConfigError
from syncline.options import Option, check_all, options_of
from syncline.options.describe import key_info, value_info
from syncline.options.load import CheckedValue
from syncline.options.option import Kind
from syncline.options.providers import Resolver
from syncline.worker.plugins import Plugins
from syncline.worker.settings import WorkerSettings
from syncline.worker.worker import group_of

Given = Mapping[str, str | None]
_PRINCIPAL: Final = frozenset({"sasl.jaas.config", "sasl.mechanism", "security.protocol"})


@dataclass(slots=True)
class Answer:
    """What validation found."""

    name: str
    groups: list[str]
    values: list[CheckedValue]
    given: Given
    unknown: dict[str, list[str]]
    """Errors on keys that no option describes."""

    @property
    def errors(self) -> list[tuple[str, str]]:
        """Every key and message."""
        found = [(value.option.name, text) for value in self.values for text in value.errors]
        return found + [(key, text) for key, texts in self.unknown.items() for text in texts]

    def body(self) -> dict[str, Any]:
        """ConfigInfos."""
        configs: list[dict[str, Any]] = [
            {"definition": key_info(value.option), "value": value_info(value, self.given)}
            for value in self.values
            if not value.option.internal
        ]
        configs += [
            {
                "definition": None,
                "value": {"name": key, "value": None, "recommended_values": [], "errors": texts, "visible": True},
            }
            for key, texts in self.unknown.items()
        ]
        return {"name": self.name, "error_count": len(self.errors), "groups": self.groups, "configs": configs}

    def check(self) -> None:
        """BadRequest with all messages, in the form clients cut apart, when there are any."""
        errors = self.errors
        if errors:
            lines = "\n".join(text for _, text in errors)
            raise BadRequest(
                f"Connector configuration is invalid and contains the following {len(errors)} error(s):\n{lines}\n"
                "You can also find the above list of errors at the endpoint "
                "`/connector-plugins/{connectorType}/config/validate`"
            )


class Validator:
    """Validates with the worker's plug-ins, settings and providers."""

    def __init__(self, plugins: Plugins, settings: WorkerSettings, resolver: Resolver) -> None:
        self._plugins = plugins
        self._settings = settings
        self._resolver = resolver

    def worker_converters(self) -> dict[str, str | None]:
        """The worker's converter classes, which are the defaults of a connector's."""
        options = self._settings.options
        return {
            "key.converter": options.key_converter,
            "value.converter": options.value_converter,
            "header.converter": options.header_converter,
        }

    def own_options(self, plugin: Plugin) -> list[Option]:
        """Options the plug-in declares itself."""
        return [] if plugin.settings is None else [o for o in options_of(plugin.settings) if not o.internal]

    def validate(self, config: Given) -> Answer:
        """Check everything; NotFound when the class is not known, BadRequest when none is named."""
        if not config.get("connector.class"):
            shown = ", ".join(f"{key}={value}" for key, value in config.items())
            raise BadRequest(f"Connector config {{{shown}}} contains no connector type")
        plugin = self._plugins.connector(str(config["connector.class"]))
        given = self._resolver.resolve({k: v for k, v in config.items() if v is not None})
        options = [*framework_options(self._plugins, plugin, self.worker_converters()), *self.own_options(plugin)]
        groups = list(dict.fromkeys(o.group for o in options if o.group is not None and not o.internal))
        chain, chain_groups, problems = self._chain_options(given)
        groups = _with_chain_groups(groups, chain_groups)
        answers = check_all([*options, *chain], given)
        for key, texts in problems.items():
            answers[key].errors += texts
        for key, value in config.items():
            if value is None and key in answers:
                answers[key].errors = ["Null value can not be supplied as the configuration value."]
        instance = plugin.factory()
        instance.validate(given, answers)
        self._converters_exist(given, answers)
        unknown = self._overrides(plugin, given)
        unknown |= {
            key: ["Null value can not be supplied as the configuration value."]
            for key, value in config.items()
            if value is None and key not in answers
        }
        self._topic_rules(plugin, given, answers)
        return Answer(str(config["connector.class"]), groups, list(answers.values()), given, unknown)

    # -- converters and transforms ------------------------------------------------------------

    def _converters_exist(self, given: Mapping[str, str], answers: dict[str, CheckedValue]) -> None:
        for key in CONVERTER_KEYS:
            name = given.get(key)
            if not name:
                continue
            kind = PluginKind.HEADER_CONVERTER if key == "header.converter" else PluginKind.CONVERTER
            plugin = self._plugins.find(name, kind)
            if plugin is None:
                answers[key].value = None
                answers[key].errors.append(
                    f"Invalid value {name} for configuration {key}: Class {name} could not be found."
                )
                continue
            prefix = f"{key}."
            own = {k.removeprefix(prefix): v for k, v in given.items() if k.startswith(prefix)}
            try:
                plugin.factory().configure(own, is_key=key == "key.converter")
            except ConfigError as exc:
                answers[key].errors += [text for texts in exc.errors.values() for text in texts]

    def _chain_options(
        self, given: Mapping[str, str]
    ) -> tuple[list[Option], list[tuple[str, str]], dict[str, list[str]]]:
        """Options of the transforms and predicates named, their groups, and what is wrong with them."""
        options: list[Option] = []
        groups: list[tuple[str, str]] = []
        problems: dict[str, list[str]] = {}
        for kind, base, title in (
            (PluginKind.TRANSFORMATION, "transforms", "Transforms"),
            (PluginKind.PREDICATE, "predicates", "Predicates"),
        ):
            for alias in _aliases(given.get(base)):
                group = f"{title}: {alias}"
                groups.append((base, group))
                made, wrong = self._alias_options(given, kind, f"{base}.{alias}.", group)
                options += made
                problems |= wrong
        return options, groups, problems

    def _alias_options(
        self, given: Mapping[str, str], kind: PluginKind, prefix: str, group: str
    ) -> tuple[list[Option], dict[str, list[str]]]:
        names = sorted(plugin.java_class for plugin in self._plugins.of(kind))
        key = f"{prefix}type"
        options = [
            Option(
                name=key,
                doc="Class of the transform." if kind is PluginKind.TRANSFORMATION else "Class of the predicate.",
                kind=Kind.CLASS,
                required=True,
                group=group,
                order=0,
                display=f"{group.partition(': ')[0].removesuffix('s')} type for {group.partition(': ')[2]}",
                recommend=lambda properties: names,
            )
        ]
        wrong: dict[str, list[str]] = {}
        if kind is PluginKind.TRANSFORMATION:
            options += _predicate_options(prefix, group)
            if given.get(f"{prefix}negate") and not given.get(f"{prefix}predicate"):
                wrong[f"{prefix}negate"] = [
                    f"Config '{prefix}negate' was provided but there is no config '{prefix}predicate' defining a "
                    "predicate to be negated."
                ]
        name = given.get(key)
        if not name:
            return options, wrong
        plugin = self._plugins.find(name, kind)
        if plugin is None:
            wrong[key] = [f"Invalid value {name} for configuration {key}: Class {name} could not be found."]
            return options, wrong
        own = {k.removeprefix(prefix): v for k, v in given.items() if k.startswith(prefix)}
        for option in self.own_options(plugin):
            options.append(_prefixed(option, prefix, group))
        try:
            plugin.factory().configure({k: v for k, v in own.items() if k not in ("type", "predicate", "negate")})
        except ConfigError as exc:
            for option_name, texts in exc.errors.items():
                full = f"{prefix}{option_name}"
                known = {o.name for o in options}
                own_errors = check_all([o for o in options if o.name == full], given)
                if full not in known:
                    wrong.setdefault(key, []).extend(texts)
                elif not own_errors[full].errors:
                    wrong[full] = texts
        return options, wrong

    # -- rules --------------------------------------------------------------------------------

    def _overrides(self, plugin: Plugin, given: Mapping[str, str]) -> dict[str, list[str]]:
        """Client settings the worker's policy forbids."""
        policy = self._settings.options.override_policy
        if policy == "All":
            return {}
        wrong: dict[str, list[str]] = {}
        for key in given:
            match = re.fullmatch(r"(producer|consumer|admin)\.override\.(.+)", key)
            if match and not (policy == "Principal" and match[2] in _PRINCIPAL):
                text = (
                    f"The '{policy}' policy does not allow '{match[2]}' to be overridden in the connector "
                    "configuration."
                )
                wrong[key] = [text]
        return wrong

    def _topic_rules(self, plugin: Plugin, given: Mapping[str, str], answers: dict[str, CheckedValue]) -> None:
        if plugin.kind is not PluginKind.SINK:
            return
        topics, regex = answers["topics"].value or [], answers["topics.regex"].value or ""
        letters = answers["errors.deadletterqueue.topic.name"].value or ""
        text = None
        if topics and regex:
            text = "topics and topics.regex are mutually exclusive options, but both are set."
        elif not topics and not regex:
            text = "Must configure one of topics or topics.regex"
        if text is not None:
            answers["topics"].errors.append(text)
            answers["topics.regex"].errors.append(text)
        if letters and letters in topics:
            shown = f"topics=[{', '.join(topics)}]"
            answers["topics"].errors.append(
                f"The DLQ topic '{letters}' may not be included in the list of topics ('{shown}') consumed by the "
                "connector"
            )
        if letters and regex and not answers["topics.regex"].errors and re.fullmatch(regex, letters):
            answers["topics.regex"].errors.append(
                f"The DLQ topic '{letters}' may not be matched by the regex for the topics ('topics.regex={regex}') "
                "consumed by the connector"
            )
        worker_group = self._settings.properties.get("group.id")
        name = answers["name"].value
        if worker_group and name and group_of(name) == worker_group:
            answers["name"].errors.append(
                f"Consumer group for sink connector named {name} conflicts with Connect worker group {worker_group}"
            )


def _aliases(text: str | None) -> list[str]:
    return list(dict.fromkeys(part.strip() for part in (text or "").split(",") if part.strip()))


def _predicate_options(prefix: str, group: str) -> list[Option]:
    return [
        Option(
            name=f"{prefix}predicate",
            doc="Alias of the predicate that decides whether the transform applies.",
            default="",
            group=group,
            order=1,
            display=f"{prefix}predicate",
        ),
        Option(
            name=f"{prefix}negate",
            doc="Whether it applies where the predicate does not hold.",
            kind=Kind.BOOLEAN,
            default="false",
            group=group,
            order=2,
            display=f"{prefix}negate",
        ),
    ]


def _prefixed(option: Option, prefix: str, group: str) -> Option:
    check = option.check

    def renamed(name: str, value: Any) -> None:
        if check is not None:
            check(name, value)

    return replace(option, name=f"{prefix}{option.name}", group=group, display=option.display, check=renamed)


def _with_chain_groups(groups: list[str], chain: list[tuple[str, str]]) -> list[str]:
    """Each transform's group stands behind `Transforms`, each predicate's behind `Predicates`."""
    out: list[str] = []
    for group in groups:
        out.append(group)
        out += [name for base, name in chain if base == group.lower()]
    return out
