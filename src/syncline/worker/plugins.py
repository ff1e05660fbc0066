"""Finding plug-ins: what is installed, under which names it is known (spec/connect.md 1.8, 2.7)."""

from __future__ import annotations

import importlib
import logging
import pkgutil
import sys
from collections.abc import Iterable, Iterator, Sequence
from importlib.metadata import EntryPoint, distributions
from pathlib import Path
from types import ModuleType
from typing import Any, Final

from syncline.api import Plugin, PluginKind
from syncline.errors import NotFound

log = logging.getLogger(__name__)

GROUP: Final = "syncline.plugins"
"""Entry points of this group name packages; their modules are searched for classes marked with `api.plugin`."""

_KIND_WORDS: Final = {
    PluginKind.SINK: "Connector",
    PluginKind.SOURCE: "Connector",
    PluginKind.TRANSFORMATION: "Transformation",
    PluginKind.PREDICATE: "Predicate",
    PluginKind.CONVERTER: "Converter",
    PluginKind.HEADER_CONVERTER: "HeaderConverter",
}
_ORDER: Final = list(_KIND_WORDS)
"""Of kinds in listings."""


class Plugins:
    """The plug-ins of this process; immutable."""

    def __init__(self, found: Iterable[Plugin]) -> None:
        unique: dict[tuple[PluginKind, str], Plugin] = {}
        for plugin in found:
            unique.setdefault((plugin.kind, plugin.java_class), plugin)
        self.all = sorted(unique.values(), key=lambda plugin: (_ORDER.index(plugin.kind), plugin.java_class))
        """In the order Kafka lists them."""
        self._by_name = unique | _aliased(self.all)

    @classmethod
    def installed(cls, plugin_path: Sequence[str] = ()) -> Plugins:
        """Everything the entry points name, also of what lies in the folders of `plugin_path`.

        A module that cannot be imported is logged and left out: a stranger's mistake must not keep the worker
        from starting.
        """
        folders = [folder for folder in plugin_path if _usable(folder)]
        sys.path += [folder for folder in folders if folder not in sys.path]
        entries = {entry.value: entry for dist in distributions() for entry in dist.entry_points.select(group=GROUP)}
        return cls(plugin for _, entry in sorted(entries.items()) for plugin in _load(entry))

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
        """A source or sink; NotFound lists what there is, in the words that clients test for."""
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


def _aliased(plugins: Iterable[Plugin]) -> dict[tuple[PluginKind, str], Plugin]:
    """Plug-ins by kind and alias; an alias that two of one kind share names neither."""
    owners: dict[tuple[PluginKind, str], list[Plugin]] = {}
    for plugin in plugins:
        for alias in aliases(plugin):
            owners.setdefault((plugin.kind, alias), []).append(plugin)
    return {key: sharing[0] for key, sharing in owners.items() if len(sharing) == 1}


def aliases(plugin: Plugin) -> list[str]:
    """Short names: `FileStreamSinkConnector`, `FileStreamSink`; for nested classes `InsertField$Value`, `Value`."""
    outer = plugin.java_class.rpartition(".")[2]
    simple = outer.rpartition("$")[2]
    head, word, _ = simple.rpartition(_KIND_WORDS[plugin.kind])
    return list(dict.fromkeys([simple, outer, *([head] if word and head else [])]))


def _usable(folder: str) -> bool:
    if Path(folder).is_dir():
        return True
    log.warning("plugin.path names %s, which is no folder", folder)
    return False


def _load(entry: EntryPoint) -> Iterator[Plugin]:
    package = _imported(entry.module)
    if package is None:
        return
    yield from plugins_in(package)
    for info in pkgutil.walk_packages(getattr(package, "__path__", ()), f"{package.__name__}.", onerror=_ignored):
        if not info.name.rpartition(".")[2].startswith("_"):
            module = _imported(info.name)
            if module is not None:
                yield from plugins_in(module)


def _imported(name: str) -> ModuleType | None:
    try:
        return importlib.import_module(name)
    except Exception:  # a stranger's module may fail in any way
        log.exception("plug-in module %s cannot be imported and is left out", name)
        return None


def _ignored(name: str) -> None:
    """A package that cannot be imported was logged when its turn came."""


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
