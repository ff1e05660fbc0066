"""Flags of Kafka's tools: declared in tables, read the way Kafka reads them, suggested when misspelt."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import Final

import typer

from syncline.cli.places import reachable
from syncline.errors import ConfigError, SynclineError

VERSION: Final = "4.1.0"
"""Of the tools whose behaviour this is."""
_NEAR: Final = 0.6


class UsageError(SynclineError):
    """A command line that cannot be read; the text is Kafka's where Kafka has one."""


@dataclass(frozen=True, slots=True)
class Flag:
    """One flag, without its dashes."""

    name: str
    doc: str
    value: str = ""
    """What stands for the value in the help; empty when the flag takes none."""
    optional: bool = False
    """The value may be missing."""


BOOTSTRAP: Final = Flag("bootstrap-server", "Where Kafka is reached, host:port with commas between.", "servers")
COMMAND_CONFIG: Final = Flag("command-config", "A properties file with settings of the client.", "file")
_EVERYWHERE: Final = (
    Flag("help", "Print this and exit."),
    Flag("version", "Print the version of Kafka's tools that this one is like."),
)


@dataclass(frozen=True, slots=True)
class Tool:
    """A tool: its name, what it is for, its flags."""

    name: str
    doc: str
    flags: tuple[Flag, ...]

    def read(self, arguments: Sequence[str]) -> Given:
        """What the command line gives; UsageError when it cannot be read. `--help` and `--version` end here."""
        given = Given(self, {})
        waiting = list(arguments)
        while waiting:
            self._take(waiting, given)
        if given.has("help"):
            print(self.help())
            raise typer.Exit(0)
        if given.has("version"):
            print(VERSION)
            raise typer.Exit(0)
        return given

    def _take(self, waiting: list[str], given: Given) -> None:
        """Read one flag from the front of what waits, with its value if it takes one."""
        word = waiting.pop(0)
        if not word.strip("-") or not word.startswith("-"):
            raise UsageError(f"{word!r} belongs to no flag")
        name, equals, value = word.lstrip("-").partition("=")
        flag = self._flag(name)
        values = given.values.setdefault(flag.name, [])
        if not flag.value:
            if equals:
                raise UsageError(f"Option {flag.name} takes no value")
        elif equals:
            values.append(value)
        elif waiting and not self._is_flag(waiting[0], or_like_one=flag.optional):
            values.append(waiting.pop(0))
        elif not flag.optional:
            raise UsageError(f"Option {flag.name} requires an argument")

    def _is_flag(self, word: str, *, or_like_one: bool) -> bool:
        """Whether it is no value; a value may begin with a dash, such as -1."""
        return word.startswith("--") and (or_like_one or self._known(word))

    def _known(self, word: str) -> bool:
        name = word.lstrip("-").partition("=")[0]
        return any(flag.name == name for flag in (*self.flags, *_EVERYWHERE))

    def _flag(self, name: str) -> Flag:
        """Kafka takes the beginning of a flag for the flag when no other begins so, and one dash for two."""
        flags = {flag.name: flag for flag in (*self.flags, *_EVERYWHERE)}
        found = [flags[name]] if name in flags else [flag for flag in flags.values() if flag.name.startswith(name)]
        if len(found) == 1 and name:
            return found[0]
        if found and name:
            names = ", ".join(f"--{flag.name}" for flag in found)
            raise UsageError(f"{name} is not a recognized option; it may stand for {names}")
        near = get_close_matches(name, flags, 1, _NEAR)
        raise UsageError(f"{name} is not a recognized option" + (f"; did you mean --{near[0]}?" if near else ""))

    def help(self) -> str:
        """All flags, with what they do."""
        lines = [self.doc, "", f"usage: syncline {self.name} FLAGS", ""]
        for flag in sorted((*self.flags, *_EVERYWHERE), key=lambda flag: flag.name):
            value = f" <{flag.value}>" if flag.value else ""
            head = f"  --{flag.name}{f'[{value.strip()}]' if flag.optional else value}"
            lines += textwrap.wrap(
                flag.doc,
                100,
                initial_indent=head.ljust(38) if len(head) < 38 else f"{head}\n{' ' * 38}",
                subsequent_indent=" " * 38,
            )
        return "\n".join(lines)


@dataclass(frozen=True, slots=True)
class Given:
    """Flags of one command line with their values, in order."""

    tool: Tool
    values: dict[str, list[str]]

    def has(self, *names: str) -> bool:
        """Whether any of the flags is there."""
        return any(name in self.values for name in names)

    def one(self, name: str) -> str | None:
        """The last value."""
        found = self.values.get(name)
        return found[-1] if found else None

    def all(self, *names: str) -> list[str]:
        """All values, flag by flag."""
        return [value for name in names for value in self.values.get(name, [])]

    def number(self, name: str, low: int | None = None) -> int | None:
        """The value as a number."""
        text = self.one(name)
        if text is None:
            return None
        try:
            number = int(text)
        except ValueError:
            raise UsageError(f"Cannot parse argument '{text}' of option {name}") from None
        if low is not None and number < low:
            raise UsageError(f"--{name} {number} is less than {low}")
        return number

    def required(self, *names: str) -> None:
        """UsageError when one of the flags is missing."""
        for name in names:
            if name not in self.values:
                raise UsageError(f'Missing required argument "[{name}]"')

    def action(self, *names: str, text: str) -> str:
        """The one flag of these that is there; UsageError with `text` otherwise."""
        found = [name for name in names if name in self.values]
        if len(found) != 1:
            raise UsageError(text)
        return found[0]

    def pairs(self, *names: str) -> dict[str, str]:
        """Values of the form name=value."""
        found = {}
        for pair in self.all(*names):
            name, equals, value = pair.partition("=")
            if not equals:
                raise UsageError(f"{pair!r} is not of the form name=value")
            found[name.strip()] = value
        return found

    def client(self, *files: str, address: str | None = None) -> dict[str, str]:
        """Settings of a client: those of the files, and the address, which must answer."""
        servers = address if address is not None else self.one("bootstrap-server")
        if not servers:
            raise UsageError("--bootstrap-server must be specified")
        found: dict[str, str] = {}
        for file in self.all(*files):
            found |= properties_of(file)
        return {**found, "bootstrap.servers": reachable(servers)}


def properties_of(file: str) -> dict[str, str]:
    """The properties in a file; ConfigError when it cannot be read."""
    from syncline.app import read_properties

    try:
        return dict(read_properties(Path(file)))
    except OSError as exc:
        raise ConfigError(f"the file {file} cannot be read: {exc.strerror}") from exc


def reason(error: Exception) -> str:
    """What the broker said, without the name of the error in front."""
    name, colon, text = str(error).partition(": ")
    return text if colon and name.isupper() and text else str(error)
