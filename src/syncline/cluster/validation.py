"""A configuration and its plug-ins, checked whole: the answer of Connect's validate call (spec/connect.md 1.8)."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from syncline.api import Plugin, PluginKind
from syncline.client.models import ConfigInfo, ConfigInfos, ConfigKeyInfo, ConfigValueInfo
from syncline.cluster.framework import (
    CONDITION,
    CONVERTER_KEYS,
    PREDICATES,
    TRANSFORMS,
    Kindred,
    alias_options,
    check_version,
    embedded,
    framework_options,
    prefixed,
)
from syncline.cluster.progress import current
from syncline.cluster.rules import override_errors, override_policy, sink_errors, source_errors
from syncline.errors import BadRequest, ConfigError, NotFound
from syncline.options import Option, check_all, options_of
from syncline.options.checks import refuse
from syncline.options.describe import key_info, value_info
from syncline.options.load import CheckedValue
from syncline.options.providers import Resolver
from syncline.stores.codec import java_hash, java_order
from syncline.worker.plugins import Plugins
from syncline.worker.settings import WorkerSettings

Given = Mapping[str, str | None]

NULL: Final = "Null value can not be supplied as the configuration value."
_SECRET: Final = re.compile(r"password|passwd|secret|token|credential|jaas|private|apikey|api\.key", re.IGNORECASE)


@dataclass(slots=True)
class Answer:
    """What validation found: every option with its value and messages, in the order of the body."""

    name: str
    """The connector class as it was sent."""
    given: dict[str, str]
    """The configuration, resolved."""
    values: dict[str, CheckedValue] = field(default_factory=dict)
    groups: list[str] = field(default_factory=list)

    def add(self, options: Iterable[Option]) -> None:
        """Check options, each on its own."""
        listed = list(options)
        self.values |= check_all(listed, self.given)
        shown = [option.group for option in listed if option.group is not None and not option.internal]
        self.groups = list(dict.fromkeys([*self.groups, *shown]))

    def blame(self, key: str, *texts: str) -> None:
        """Add messages to a key; one that nobody declared gets a definition, which some clients insist on."""
        if key not in self.values:
            option = Option(name=key, doc="No plug-in named in this configuration declares it.")
            self.values[key] = CheckedValue(option, self.given.get(key))
        self.values[key].errors += texts

    def fails(self, *keys: str) -> bool:
        """Whether a message stands at one of the keys."""
        return any(key in self.values and self.values[key].errors for key in keys)

    @property
    def errors(self) -> list[str]:
        """Every message."""
        return [text for value in self.values.values() for text in value.errors]

    def body(self) -> ConfigInfos:
        """The answer of the validate call."""
        shown = [value for value in self.values.values() if value.errors or not value.option.internal]
        return ConfigInfos(
            self.name,
            len(self.errors),
            self.groups,
            [
                ConfigInfo(ConfigKeyInfo(**key_info(value.option)), ConfigValueInfo(**value_info(value)))
                for value in shown
            ],
        )

    def check(self) -> None:
        """BadRequest with all messages, in the form that clients cut apart, when there are any."""
        errors = self.errors
        if errors:
            lines = "\n".join(errors)
            raise BadRequest(
                f"Connector configuration is invalid and contains the following {len(errors)} error(s):\n{lines}\n"
                "You can also find the above list of errors at the endpoint "
                "`/connector-plugins/{connectorType}/config/validate`"
            )


class Validator:
    """Validates with the worker's plug-ins, settings and config providers. Any thread may call."""

    def __init__(self, plugins: Plugins, settings: WorkerSettings, resolver: Resolver) -> None:
        """ConfigError when the worker's own settings name something that is not known."""
        override_policy(settings)
        self._plugins = plugins
        self._settings = settings
        self._resolver = resolver

    @staticmethod
    def own_options(plugin: Plugin) -> list[Option]:
        """Options that the plug-in declares itself."""
        return [option for option in _options(plugin) if not option.internal]

    def validate(self, config: Given) -> Answer:
        """Check everything; BadRequest when the class is missing or unknown."""
        name = config.get("connector.class")
        if name is None:
            raise BadRequest(f"Connector config {_printed(config)} contains no connector type")
        try:
            plugin = self._plugins.connector(name)
        except NotFound as exc:
            raise BadRequest(str(exc)) from exc
        given, unresolved = self._resolve(config)
        answer = Answer(name, given)
        answer.add(framework_options(self._plugins, plugin, self._worker_converters()))
        chains = [(what, alias) for what in (TRANSFORMS, PREDICATES) for alias in _aliases(given.get(what.key))]
        for what, alias in chains:
            self._add_alias(answer, what, alias)
        answer.add(_options(plugin))
        self._check_versions(answer, plugin)
        with current().during("performing multi-property validation for the connector"):
            plugin.factory().validate(given, answer.values)
        for key, kind in CONVERTER_KEYS.items():
            self._add_converter(answer, key, kind)
        self._apply_rules(answer, plugin)
        for key, text in unresolved.items():
            answer.blame(key, text)
        for key, value in config.items():
            if value is None:
                if key in answer.values:
                    # That it is missing as well is no second mistake.
                    answer.values[key].errors.clear()
                answer.blame(key, NULL)
        return answer

    def _resolve(self, config: Given) -> tuple[dict[str, str], dict[str, str]]:
        """The configuration with variables replaced, and messages for keys whose provider failed."""
        given: dict[str, str] = {}
        wrong: dict[str, str] = {}
        for key, value in config.items():
            if value is not None:
                try:
                    given[key] = self._resolver.replaced(value)
                except ConfigError as exc:
                    given[key], wrong[key] = value, str(exc)
        return given, wrong

    def _worker_converters(self) -> dict[str, str]:
        options = self._settings.options
        return {
            "key.converter": options.key_converter,
            "value.converter": options.value_converter,
            "header.converter": options.header_converter,
        }

    # -- the plug-ins a connector names -------------------------------------------------------

    def _add_converter(self, answer: Answer, key: str, kind: PluginKind) -> None:
        name = answer.given.get(key)
        if name is None:
            return
        plugin = self._named(answer, key, name, kind)
        if plugin is None:
            return
        # Which of the three it serves is the worker's to say, not the user's.
        answer.given.setdefault(f"{key}.converter.type", key.partition(".")[0])
        # Kafka Connect checks converters apart from the connector, and a Java HashMap decides the order there.
        by_name = {option.name: option for option in _options(plugin)}
        options = [prefixed(by_name[name], f"{key}.") for name in java_order(by_name)]
        with current().during(f"instantiating the connector's {key.replace('.', ' ')} for validation"):
            self._add_plugin(answer, plugin, f"{key}.", key, options, is_key=key == "key.converter")

    def _add_alias(self, answer: Answer, what: Kindred, alias: str) -> None:
        prefix = f"{what.key}.{alias}."
        key = f"{prefix}type"
        named = alias_options(self._plugins, what, alias)
        answer.add(named)
        if what is TRANSFORMS:
            self._check_predicate(answer, prefix)
        name = answer.given.get(key)
        plugin = self._named(answer, key, name, what.kind) if name is not None else None
        if plugin is None:
            return
        own = [option for option in _options(plugin) if not any(option.name == other.name for other in CONDITION)]
        shared = CONDITION if what is TRANSFORMS else ()
        self._add_plugin(answer, plugin, prefix, key, embedded(what, alias, (*shared, *own), first=len(named)))

    def _named(self, answer: Answer, key: str, name: str, kind: PluginKind) -> Plugin | None:
        plugin = self._plugins.find(name.strip(), kind)
        if plugin is None:
            answer.blame(key, str(refuse(key, name, f"Class {name} could not be found.")))
        # An option of kind CLASS has the class for its value, however it was named.
        answer.values[key].value = None if plugin is None else plugin.java_class
        return plugin

    def _add_plugin(
        self, answer: Answer, plugin: Plugin, prefix: str, key: str, options: Sequence[Option], **configuring: Any
    ) -> None:
        """The options of a plug-in, which begin with `prefix`, and what it says when it is configured with them."""
        answer.add(options)
        if answer.fails(*(option.name for option in options)):
            return
        own = {f"{prefix}{option.name}" for option in _options(plugin)}
        config = {
            name.removeprefix(prefix): value
            for name, value in answer.given.items()
            if name.startswith(prefix) and (name in own or name not in answer.values)
        }
        try:
            plugin.factory().configure(config, **configuring)
        except ConfigError as exc:
            for name, texts in exc.errors.items():
                answer.blame(f"{prefix}{name}" if f"{prefix}{name}" in answer.values else key, *texts)

    @staticmethod
    def _check_predicate(answer: Answer, prefix: str) -> None:
        predicate = (answer.given.get(f"{prefix}predicate") or "").strip()
        if not predicate and answer.given.get(f"{prefix}negate") is not None:
            answer.blame(
                f"{prefix}type",
                f"Config '{prefix}negate' was provided but there is no config '{prefix}predicate' defining a "
                "predicate to be negated.",
            )
        elif predicate and predicate not in _aliases(answer.given.get(PREDICATES.key)):
            key = f"{prefix}predicate"
            answer.blame(key, str(refuse(key, predicate, f"no such alias in '{PREDICATES.key}'")))

    def _check_versions(self, answer: Answer, connector: Plugin) -> None:
        for key, value in list(answer.values.items()):
            if not key.endswith("plugin.version") or key not in answer.given:
                continue
            owner = answer.values.get(key.removesuffix(".plugin.version"))
            owner = owner or answer.values.get(f"{key.removesuffix('plugin.version')}type")
            plugin = connector if key == "connector.plugin.version" else self._owner(owner)
            wrong = check_version(plugin, value.value) if plugin is not None else None
            if wrong is not None:
                answer.blame(key, str(refuse(key, value.value, wrong)))

    def _owner(self, value: CheckedValue | None) -> Plugin | None:
        return None if value is None or not value.value else self._plugins.find(value.value, *PluginKind)

    def _apply_rules(self, answer: Answer, plugin: Plugin) -> None:
        rules = sink_errors if plugin.kind is PluginKind.SINK else source_errors
        found = [
            *rules(answer.values, answer.given, self._settings),
            *override_errors(plugin.kind, answer.given, self._settings),
        ]
        for key, text in found:
            answer.blame(key, text)


def _options(plugin: Plugin) -> tuple[Option, ...]:
    return () if plugin.settings is None else options_of(plugin.settings)


def _aliases(text: str | None) -> list[str]:
    return list(dict.fromkeys(part.strip() for part in (text or "").split(",") if part.strip()))


def _printed(config: Given) -> str:
    """As Java prints a HashMap made from it; what may be a secret is not shown, since no option says whether it is."""
    capacity = 1
    while capacity < int(len(config) / 0.75 + 1):
        capacity *= 2

    def bucket(key: str) -> int:
        hashed = java_hash(key)
        return (hashed ^ hashed >> 16) & (capacity - 1)

    def shown(key: str) -> str:
        value = config[key]
        if value is None:
            return "null"
        return "[hidden]" if _SECRET.search(f"{key}={value}") else value

    return "{" + ", ".join(f"{key}={shown(key)}" for key in sorted(config, key=bucket)) + "}"
