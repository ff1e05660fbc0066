"""Config providers: `${file:path:key}`, `${directory:path:key}`, `${env:NAME}` (spec/connect.md 2.5)."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Final, Protocol

from syncline.errors import ConfigError
from syncline.options.properties import read_properties

_VARIABLE: Final = re.compile(r"\$\{(?P<provider>[^}:]*):(?:(?P<path>[^}:]*):)?(?P<key>[^}]*)\}")
"""Neither provider nor path holds a colon; the key runs to the first closing brace."""

_JAVA: Final = "org.apache.kafka.common.config.provider."


class Provider(Protocol):
    """Looks values up."""

    def get(self, path: str, key: str) -> str | None:
        """The value, or None when there is none; ConfigError when what is there cannot be read."""
        ...


class FileProvider:
    """A key of a properties file; `allowed.paths` limits which files."""

    def __init__(self, parameters: Mapping[str, str]) -> None:
        self._allowed = _folders(parameters)

    def get(self, path: str, key: str) -> str | None:
        file = Path(path)
        if not path or not _inside(file, self._allowed):
            return None
        if not file.is_file():
            # As Kafka's; a variable that stayed as it is would be taken for the password.
            raise ConfigError(f"Could not read properties from file {path}: there is no such file")
        return read_properties(file).get(key)


class DirectoryProvider:
    """A file of a folder, not below it; its whole content is the value, untrimmed."""

    def __init__(self, parameters: Mapping[str, str]) -> None:
        self._allowed = _folders(parameters)

    def get(self, path: str, key: str) -> str | None:
        file = Path(path) / key
        if not path or key in ("", ".", "..") or "/" in key or not _inside(file, self._allowed) or not file.is_file():
            return None
        try:
            return file.read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as exc:
            raise ConfigError(f"the secret in file {file} cannot be read: {_reason(exc)}") from None


class EnvProvider:
    """An environment variable; `allowlist.pattern` limits which."""

    def __init__(self, parameters: Mapping[str, str]) -> None:
        pattern = parameters.get("allowlist.pattern", "")
        try:
            self._allowed = re.compile(pattern) if pattern else None
        except re.error as exc:
            raise ConfigError({"allowlist.pattern": [f"Invalid value {pattern}: {exc}"]}) from exc

    def get(self, path: str, key: str) -> str | None:
        if path:
            raise ConfigError(
                f"environment variables have no path: write ${{env:{key}}} (or your provider's name) "
                f"in place of ${{...:{path}:{key}}}"
            )
        return os.environ.get(key) if self._allowed is None or self._allowed.fullmatch(key) else None


_CLASSES: Final[Mapping[str, Callable[[Mapping[str, str]], Provider]]] = {
    f"{_JAVA}FileConfigProvider": FileProvider,
    f"{_JAVA}DirectoryConfigProvider": DirectoryProvider,
    f"{_JAVA}EnvVarConfigProvider": EnvProvider,
}


def _reason(exc: OSError | UnicodeDecodeError) -> str:
    # The text of a decoding error would show a part of the secret.
    return "it is not UTF-8" if isinstance(exc, UnicodeDecodeError) else exc.strerror or type(exc).__name__


def _folders(parameters: Mapping[str, str]) -> list[Path]:
    listed = parameters.get("allowed.paths", "")
    return [Path(part.strip()).resolve() for part in listed.split(",") if part.strip()]


def _inside(path: Path, allowed: list[Path]) -> bool:
    # Links are followed first: one inside an allowed folder may point anywhere.
    resolved = path.resolve()
    return not allowed or any(resolved.is_relative_to(folder) for folder in allowed)


class Resolver:
    """Replaces variables in configurations; what cannot be looked up stays as it is."""

    def __init__(self, providers: Mapping[str, Provider]) -> None:
        self._providers = providers

    @classmethod
    def of(cls, properties: Mapping[str, str]) -> Resolver:
        """From a worker's `config.providers` and their settings; ConfigError names what cannot be used."""
        made: dict[str, Provider] = {}
        for name in filter(None, (part.strip() for part in properties.get("config.providers", "").split(","))):
            key = f"config.providers.{name}."
            java = properties.get(f"{key}class", "").strip()
            if java not in _CLASSES:
                known = ", ".join(_CLASSES)
                shown = f"Class {java} could not be found" if java else "it is missing"
                raise ConfigError({f"{key}class": [f"{key}class: {shown}; known config providers are {known}"]})
            prefix = f"{key}param."
            parameters = {k.removeprefix(prefix): v for k, v in properties.items() if k.startswith(prefix)}
            made[name] = _CLASSES[java](parameters)
        return cls(made)

    def resolve(self, config: Mapping[str, str]) -> dict[str, str]:
        """`config` with every variable replaced once; values that come in are not looked at again."""
        return {key: self.replaced(value) for key, value in config.items()}

    def replaced(self, text: str) -> str:
        """One value with its variables replaced."""
        return _VARIABLE.sub(self._look_up, text) if "${" in text else text

    def _look_up(self, match: re.Match[str]) -> str:
        provider = self._providers.get(match["provider"])
        found = provider.get(match["path"] or "", match["key"]) if provider is not None else None
        return match[0] if found is None else found


def has_variable(text: str | None) -> bool:
    """Whether a value refers to a provider."""
    return text is not None and _VARIABLE.search(text) is not None


def resolve_worker(properties: Mapping[str, str]) -> dict[str, str]:
    """A worker's own properties with variables replaced, except where providers and plug-ins are declared."""
    resolver = Resolver.of(properties)
    return {
        key: value if key.startswith(_NOT_RESOLVED) else resolver.replaced(value) for key, value in properties.items()
    }


_NOT_RESOLVED: Final = ("config.providers", "plugin.path")
