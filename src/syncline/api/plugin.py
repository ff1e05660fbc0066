"""How a plug-in announces itself: a kind, a Java class name, a version."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, TypeVar


class PluginKind(StrEnum):
    """Kinds, named as `GET /connector-plugins` names them."""

    SINK = "sink"
    SOURCE = "source"
    TRANSFORMATION = "transformation"
    PREDICATE = "predicate"
    CONVERTER = "converter"
    HEADER_CONVERTER = "header_converter"


@dataclass(frozen=True, slots=True)
class Plugin:
    """One plug-in as the worker lists it.

    `java_class` is its public id in configurations and traces: for anything with a counterpart in the
    JVM world the counterpart's name, otherwise the dotted Python path.
    """

    kind: PluginKind
    java_class: str
    version: str
    factory: Callable[[], Any]
    """Makes an instance without arguments; doing so must be cheap and open nothing."""
    settings: type[Any] | None = None
    """The dataclass that declares its options, see `syncline.options.option`."""


C = TypeVar("C", bound=type)


def plugin(
    kind: PluginKind, java_class: str, *, version: str = "4.1.0", settings: type[Any] | None = None
) -> Callable[[C], C]:
    """Class decorator that announces the class as plug-in(s).

    A package named in the entry points `syncline.plugins` is searched, module by module, for classes so
    marked. May be applied more than once: a converter is also a header converter.
    """

    def mark(cls: C) -> C:
        made = Plugin(kind, java_class, version, cls, settings)
        # Own attribute, not the parent's: a subclass is not the plug-in its base is.
        announced = (*cls.__dict__.get("__syncline_plugins__", ()), made)
        cls.__syncline_plugins__ = announced  # type: ignore[attr-defined]  # read back by worker.plugins
        return cls

    return mark
