"""Java properties files (java.util.Properties; spec/connect.md 2.1)."""

from __future__ import annotations

from pathlib import Path

from syncline.errors import ConfigError

_ESCAPES = {"t": "\t", "n": "\n", "r": "\r", "f": "\f"}


def read_properties(path: Path) -> dict[str, str]:
    """The properties of a file; ConfigError when it cannot be read."""
    try:
        text = path.read_text(encoding="utf-8")
    except OSError as exc:
        raise ConfigError(f"properties file {path} cannot be read: {exc.strerror}") from exc
    except UnicodeDecodeError:
        # Files from before Java 9 are in Latin-1.
        text = path.read_text(encoding="latin-1")
    return parse_properties(text)


def parse_properties(text: str) -> dict[str, str]:
    """`key=value`, `key:value` or `key value` per line; the last of two equal keys wins."""
    found: dict[str, str] = {}
    for line in _logical_lines(text):
        key, value = _split(line)
        found[_unescape(key)] = _unescape(value)
    return found


def _logical_lines(text: str) -> list[str]:
    lines: list[str] = []
    pending = ""
    for raw in text.replace("\r\n", "\n").replace("\r", "\n").split("\n"):
        line = raw.lstrip(" \t\f")
        if not pending and (not line or line[0] in "#!"):
            continue
        backslashes = len(line) - len(line.rstrip("\\"))
        if backslashes % 2:
            pending += line[:-1]
            continue
        lines.append(pending + line)
        pending = ""
    return [*lines, pending] if pending else lines


def _split(line: str) -> tuple[str, str]:
    position = 0
    while position < len(line):
        if line[position] == "\\":
            position += 2
            continue
        if line[position] in "=: \t\f":
            break
        position += 1
    key, rest = line[:position], line[position:].lstrip(" \t\f")
    if rest[:1] in ("=", ":"):
        rest = rest[1:].lstrip(" \t\f")
    return key, rest


def _unescape(text: str) -> str:
    if "\\" not in text:
        return text
    out: list[str] = []
    position = 0
    while position < len(text):
        letter = text[position]
        if letter != "\\":
            out.append(letter)
            position += 1
            continue
        escaped = text[position + 1 : position + 2]
        if escaped == "u":
            out.append(chr(int(text[position + 2 : position + 6], 16)))
            position += 6
        else:
            out.append(_ESCAPES.get(escaped, escaped))
            position += 2
    return "".join(out)
