"""Finding plug-ins: what is installed, under which names it is known (spec/connect.md 1.8, 2.7)."""

from __future__ import annotations

import importlib
import logging
import pkgutil
from collections.abc import Iterable
from importlib.metadata import EntryPoint, entry_points
from types import ModuleType
from typing import Any, Final

from syncline.api import Plugin, PluginKind
from syncline.errors import NotFound

log = logging.getLogger(__name__)

GROUP: Final = "syncline.plugins"
_SUFFIXES: Final = {
    PluginKind.SINK: "Connector",
    PluginKind.SOURCE: "Connector",
    PluginKind.TRANSFORMATION: "Transformation",
    PluginKind.PREDICATE: "Predicate",
    PluginKind.CONVERTER: "Converter",
    PluginKind.HEADER_CONVERTER: "HeaderConverter",
}
_ORDER: Final = list(PluginKind)


class Plugins:
    """The plug-ins of this process."""

    def __init__(self, found: Iterable[Plugin]) -> None:
        unique: dict[tuple[PluginKind, str], Plugin] = {}
        for plugin in found:
            unique.setdefault((plugin.kind, plugin.java_class), plugin)
        self.all = sorted(unique.values(), key=lambda plugin: (_ORDER.index(plugin.kind), plugin.java_class))
        self._by_name: dict[tuple[PluginKind, str], Plugin | None] = {}
        for plugin in self.all:
            self._by_name[plugin.kind, plugin.java_class] = plugin
        for plugin in self.all:
            for alias in _aliases(plugin):
                key = (plugin.kind, alias)
                # An alias that two classes share names neither.
                self._by_name[key] = plugin if key not in self._by_name else self._shared(key, plugin)

    def _shared(self, key: tuple[PluginKind, str], plugin: Plugin) -> Plugin | None:
        known = self._by_name[key]
        return known if known is plugin or (known and known.java_class == key[1]) else None

    @classmethod
    def installed(cls) -> Plugins:
        """Everything the entry points name; one that cannot be loaded is logged and left out."""
        found: list[Plugin] = []
        for entry in sorted(entry_points(group=GROUP), key=lambda entry: entry.name):
            found += _load(entry)
        return cls(found)

    def of(self, *kinds: PluginKind) -> list[Plugin]:
        """Plug-ins of these kinds, in listing order."""
        return [plugin for plugin in self.all if plugin.kind in kinds]

    def find(self, name: str, *kinds: PluginKind) -> Plugin | None:
        """The plug-in a configuration means by `name`: Java class name or alias, exact case."""
        for kind in kinds:
            found = self._by_name.get((kind, name))
            if found is not None:
                return found
        return None

    def connector(self, name: str) -> Plugin:
        """A source or sink; NotFound lists what there is, in words clients test for."""
        found = self.find(name, PluginKind.SOURCE, PluginKind.SINK)
        if found is None:
            there = ", ".join(
                f"PluginDesc{{klass=class {p.java_class}, name='{p.java_class}', version='{p.version}', type={p.kind}}}"
                for p in self.of(PluginKind.SINK, PluginKind.SOURCE)
            )
            raise NotFound(
                f"Failed to find any class that implements Connector and which name matches {name}, "
                f"available connectors are: {there}"
            )
        return found


def _aliases(plugin: Plugin) -> list[str]:
    simple = plugin.java_class.rpartition(".")[2].rpartition("$")[2]
    suffix = _SUFFIXES[plugin.kind]
    head, word, _ = simple.rpartition(suffix)
    return [simple, head] if word and head else [simple]


def _load(entry: EntryPoint) -> list[Plugin]:
    try:
        package = entry.load()
        modules = list(_modules(package))
    except Exception:
        # A stranger's package may fail in any way; it must not keep the worker from starting.
        log.exception("plug-in package %s (%s) cannot be loaded and is left out", entry.name, entry.value)
        return []
    return [plugin for module in modules for plugin in plugins_in(module)]


def _modules(package: ModuleType) -> Iterable[ModuleType]:
    yield package
    for info in pkgutil.walk_packages(getattr(package, "__path__", []), f"{package.__name__}."):
        if not info.name.rpartition(".")[2].startswith("_"):
            yield importlib.import_module(info.name)


def plugins_in(module: ModuleType) -> list[Plugin]:
    """What the classes defined in a module announce."""
    return [
        plugin
        for value in vars(module).values()
        if isinstance(value, type) and value.__module__ == module.__name__
        for plugin in _announced(value)
    ]


def _announced(cls: type[Any]) -> tuple[Plugin, ...]:
    return tuple(cls.__dict__.get("__syncline_plugins__", ()))
