"""Converters and transforms of a connector, made from its configuration (spec/connect.md 2.2, 2.6)."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Final, Generic, TypeVar, cast

from syncline.api import Converter, HeaderConverter, Plugin, PluginKind, Predicate, Transform
from syncline.data import SinkRecord, SourceRecord
from syncline.errors import ConfigError
from syncline.kafka.ports import KafkaRecord
from syncline.worker.plugins import Plugins
from syncline.worker.settings import WorkerSettings
from syncline.worker.tolerance import Skipped, Stage, Tolerance

Config = Mapping[str, str]

P = TypeVar("P")
R = TypeVar("R", SinkRecord, SourceRecord)


@dataclass(frozen=True, slots=True)
class Named(Generic[P]):
    """A plug-in's instance with the Java class it is known by."""

    java_class: str
    made: P


@dataclass(frozen=True, slots=True)
class Converters:
    """The three converters of a task, configured."""

    key: Named[Converter]
    value: Named[Converter]
    header: Named[HeaderConverter]


_CONVERTERS: Final = {
    "key": PluginKind.CONVERTER,
    "value": PluginKind.CONVERTER,
    "header": PluginKind.HEADER_CONVERTER,
}


def refuse_unknown_converters(plugins: Plugins, settings: WorkerSettings) -> None:
    """ConfigError for a converter of the worker itself that nobody has; later it would fail every task."""
    for role, kind in _CONVERTERS.items():
        which = f"{role}.converter"
        _found(plugins, settings.converter_class(which), which, kind)


def converters_of(plugins: Plugins, settings: WorkerSettings, config: Config) -> Converters:
    """The connector's own converters where it names them, the worker's otherwise.

    ConfigError names the key of one that does not exist or refuses its options.
    """

    def made(role: str) -> Named[Any]:
        which = f"{role}.converter"
        own = (config.get(which) or "").strip()
        # A connector that names its own converter does not inherit the options of the worker's.
        options = _under(config, f"{which}.") if own else settings.converter(which)
        plugin = _found(plugins, own or settings.converter_class(which), which, _CONVERTERS[role])
        converter = plugin.factory()
        options = {**options, "converter.type": role}
        # A class that serves values as well as headers has the `configure` of the former.
        if isinstance(converter, Converter):
            converter.configure(options, is_key=role == "key")
        else:
            converter.configure(options)
        return Named(plugin.java_class, converter)

    return Converters(made("key"), made("value"), made("header"))


@dataclass(frozen=True, slots=True)
class Step(Generic[R]):
    """One transform of the chain, with the predicate that decides whether it applies."""

    transform: Named[Transform[R]]
    predicate: Predicate[R] | None = None
    negate: bool = False

    def apply(self, record: R) -> R | None:
        if self.predicate is not None and self.predicate.test(record) is self.negate:
            return record
        return self.transform.made.apply(record)

    def close(self) -> None:
        """Release what the transform and its predicate hold."""
        self.transform.made.close()
        if self.predicate is not None:
            self.predicate.close()


def chain_of(plugins: Plugins, config: Config) -> list[Step[Any]]:
    """The transforms of a connector, in order; ConfigError names the key of one that cannot be used."""
    predicates = _listed(config, "predicates")
    steps: list[Step[Any]] = []
    for alias in _listed(config, "transforms"):
        prefix = f"transforms.{alias}."
        options = _under(config, prefix)
        wanted = options.pop("predicate", "").strip()
        negate = options.pop("negate", "false").strip().lower() == "true"
        if wanted and wanted not in predicates:
            text = f"Invalid value {wanted} for configuration {prefix}predicate: it is not one of 'predicates'"
            raise ConfigError({f"{prefix}predicate": [text]})
        transform = _configured(plugins, prefix, options, PluginKind.TRANSFORMATION)
        predicate = None
        if wanted:
            of_predicate = _under(config, f"predicates.{wanted}.")
            predicate = _configured(plugins, f"predicates.{wanted}.", of_predicate, PluginKind.PREDICATE).made
        steps.append(Step(transform, predicate, negate))
    return steps


def _listed(config: Config, key: str) -> list[str]:
    return [alias.strip() for alias in (config.get(key) or "").split(",") if alias.strip()]


def _under(config: Config, prefix: str) -> dict[str, str]:
    return {key.removeprefix(prefix): value for key, value in config.items() if key.startswith(prefix)}


def _configured(plugins: Plugins, prefix: str, options: dict[str, str], kind: PluginKind) -> Named[Any]:
    plugin = _found(plugins, options.pop("type", "").strip(), f"{prefix}type", kind)
    made = plugin.factory()
    made.configure(options)
    return Named(plugin.java_class, made)


def _found(plugins: Plugins, name: str, key: str, kind: PluginKind) -> Plugin:
    plugin = plugins.find(name, kind)
    if plugin is None:
        text = f"Invalid value {name} for configuration {key}: Class {name} could not be found."
        raise ConfigError({key: [text]})
    return plugin


class Chain(Generic[R]):
    """The transforms of a task under its policy for bad records."""

    def __init__(self, steps: Sequence[Step[R]], tolerance: Tolerance) -> None:
        self._steps: Sequence[Step[R]] = steps
        self._tolerance = tolerance

    def __bool__(self) -> bool:
        return bool(self._steps)

    def apply(self, record: R, origin: Callable[[], KafkaRecord | SourceRecord]) -> R | None:
        """The record after the last step; None when one dropped it, or when it failed and is set aside.

        `origin` gives the record as failures are to be reported. ConnectError fails the task.
        """
        current = record
        for step in self._steps:
            try:
                changed = step.apply(current)
            except Exception as exc:  # a stranger's transform
                again = cast("Callable[[], R | None]", partial(step.apply, current))
                try:
                    changed = self._tolerance.recover(
                        Stage.TRANSFORMATION, step.transform.java_class, origin(), exc, again
                    )
                except Skipped:
                    return None
            if changed is None:
                return None
            current = changed
        return current

    def close(self) -> None:
        """Release what the transforms hold."""
        for step in self._steps:
            step.close()
