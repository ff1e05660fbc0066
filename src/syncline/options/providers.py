"""Config providers: `${file:path:key}`, `${directory:path:key}`, `${env:NAME}` (spec/connect.md 2.5)."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final, Protocol

from syncline.errors import ConfigError
from syncline.options.properties import read_properties

_VARIABLE: Final = re.compile(r"\$\{([^}]*?):(([^}]*?):)?([^}]*?)\}")
_JAVA: Final = "org.apache.kafka.common.config.provider."


class Provider(Protocol):
    """Looks values up."""

    def get(self, path: str, key: str) -> str | None:
        """The value, or None when there is none."""
        ...


class FileProvider:
    """A key of a properties file."""

    def __init__(self, parameters: Mapping[str, str]) -> None:
        self._allowed = _allowed(parameters)

    def get(self, path: str, key: str) -> str | None:
        if not path or not _inside(Path(path), self._allowed) or not Path(path).is_file():
            return None
        return read_properties(Path(path)).get(key)


class DirectoryProvider:
    """A file of a folder; its whole content is the value."""

    def __init__(self, parameters: Mapping[str, str]) -> None:
        self._allowed = _allowed(parameters)

    def get(self, path: str, key: str) -> str | None:
        file = Path(path) / key
        if not path or not _inside(file, self._allowed) or file.parent != Path(path) or not file.is_file():
            return None
        return file.read_text()


class EnvProvider:
    """An environment variable; `allowlist.pattern` limits which."""

    def __init__(self, parameters: Mapping[str, str]) -> None:
        pattern = parameters.get("allowlist.pattern")
        self._allowed = re.compile(pattern) if pattern else None

    def get(self, path: str, key: str) -> str | None:
        if path:
            raise ConfigError(f"Path is not supported for EnvVarConfigProvider, invalid value '{path}'")
        return os.environ.get(key) if self._allowed is None or self._allowed.fullmatch(key) else None


_CLASSES: Final[Mapping[str, Any]] = {
    f"{_JAVA}FileConfigProvider": FileProvider,
    f"{_JAVA}DirectoryConfigProvider": DirectoryProvider,
    f"{_JAVA}EnvVarConfigProvider": EnvProvider,
}


def _allowed(parameters: Mapping[str, str]) -> list[Path]:
    listed = parameters.get("allowed.paths", "")
    return [Path(part.strip()).resolve() for part in listed.split(",") if part.strip()]


def _inside(path: Path, allowed: list[Path]) -> bool:
    resolved = path.resolve()
    return not allowed or any(resolved.is_relative_to(folder) for folder in allowed)


class Resolver:
    """Replaces variables in configurations; what cannot be looked up stays as it is."""

    def __init__(self, providers: Mapping[str, Provider]) -> None:
        self._providers = providers

    @classmethod
    def of(cls, properties: Mapping[str, str]) -> Resolver:
        """From a worker's `config.providers.*`; ConfigError for a class that is not known."""
        made: dict[str, Provider] = {}
        for name in (properties.get("config.providers") or "").split(","):
            if not name.strip():
                continue
            key = f"config.providers.{name.strip()}."
            java = properties.get(f"{key}class", "")
            if java not in _CLASSES:
                raise ConfigError({f"{key}class": [f"config provider {java or '(none)'} is not known"]})
            prefix = f"{key}param."
            parameters = {k.removeprefix(prefix): v for k, v in properties.items() if k.startswith(prefix)}
            made[name.strip()] = _CLASSES[java](parameters)
        return cls(made)

    def resolve(self, config: Mapping[str, str]) -> dict[str, str]:
        """`config` with every variable replaced once; values are not looked at again."""
        return {key: self._replace(value) for key, value in config.items()}

    def _replace(self, text: str) -> str:
        if "${" not in text:
            return text

        def look_up(match: re.Match[str]) -> str:
            provider = self._providers.get(match[1])
            found = provider.get(match[3] or "", match[4]) if provider is not None else None
            return match[0] if found is None else found

        return _VARIABLE.sub(look_up, text)


def has_variable(text: str | None) -> bool:
    """Whether a value refers to a provider."""
    return text is not None and _VARIABLE.search(text) is not None
