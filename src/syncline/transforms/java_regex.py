"""Java's regular expressions in Python's: what users of RegexRouter and TopicNameMatches write.

Named groups `(?<n>...)`, POSIX classes `\\p{Alpha}`, quotes `\\Q...\\E`, `\\h`, `\\z` and `\\Z` are translated;
possessive quantifiers and atomic groups are Python's own since 3.11. Anything else Java alone knows is refused,
also what Python would read in another way: classes in classes and `&&`.
"""

from __future__ import annotations

import re
from typing import Final

_CLASSES: Final = {
    "Lower": "a-z",
    "Upper": "A-Z",
    "ASCII": "\\x00-\\x7F",
    "Alpha": "a-zA-Z",
    "Digit": "0-9",
    "Alnum": "a-zA-Z0-9",
    "Punct": "!-/:-@\\[-`{-~",
    "Graph": "!-~",
    "Print": "\\x20-~",
    "Blank": " \\t",
    "Cntrl": "\\x00-\\x1F\\x7F",
    "XDigit": "0-9a-fA-F",
    "Space": " \\t\\n\\x0B\\f\\r",
}
_CLASS: Final = re.compile(r"\\([pP])\{(\w+)\}")
_NAMED: Final = re.compile(r"\(\?<(?=[A-Za-z])")
_REFERENCE: Final = re.compile(r"\\k<(\w+)>")
_QUOTE_OR_ESCAPE: Final = re.compile(r"\\Q(.*?)(?:\\E|\Z)|\\.", re.DOTALL)
_ESCAPES: Final = {"\\z": r"\Z", "\\Z": r"(?=\n?\Z)", "\\h": r"[ \t\xA0\u1680\u180E\u2000-\u200A\u202F\u205F\u3000]"}


def compile_java(pattern: str) -> re.Pattern[str]:
    """`pattern` compiled with Java's meaning; re.error when it cannot be."""
    translated = _QUOTE_OR_ESCAPE.sub(_unquoted, pattern)
    translated = _NAMED.sub("(?P<", translated)
    translated = _REFERENCE.sub(r"(?P=\1)", translated)
    # Java's \d, \w and (?i) know ASCII alone.
    return re.compile(_translate_classes(translated), re.ASCII)


def _unquoted(found: re.Match[str]) -> str:
    quoted: str | None = found[1]
    return found[0] if quoted is None else re.escape(quoted)


def _translate_classes(pattern: str) -> str:
    out, inside, position = [], False, 0
    while position < len(pattern):
        found = _CLASS.match(pattern, position)
        if found is not None:
            members = _CLASSES.get(found.group(2))
            if members is None:
                raise re.error(f"character class {found.group()} is not known here", pattern, position)
            negated = found.group(1) == "P"
            if inside and negated:
                raise re.error(f"{found.group()} inside brackets is not supported", pattern, position)
            out.append(members if inside else f"[{'^' if negated else ''}{members}]")
            position = found.end()
            continue
        if pattern[position] == "\\":
            escape = pattern[position : position + 2]
            out.append(escape if inside else _ESCAPES.get(escape, escape))
            position += 2
            continue
        if inside and (pattern[position] == "[" or pattern.startswith("&&", position)):
            raise re.error("classes within classes and && are not supported", pattern, position)
        if pattern[position] in "[]":
            inside = pattern[position] == "["
        out.append(pattern[position])
        position += 1
    return "".join(out)


def expand(match: re.Match[str], replacement: str) -> str:
    """`replacement` with `$1`, `${name}` and `\\x` meaning what Java's Matcher says.

    IndexError for a group whose number is not there, ValueError for anything else that names none; a group
    that took no part is empty.
    """
    out, position = [], 0
    while position < len(replacement):
        letter = replacement[position]
        if letter == "\\":
            if position + 1 == len(replacement):
                raise ValueError("character to be escaped is missing")
            out.append(replacement[position + 1])
            position += 2
        elif letter == "$":
            text, position = _group(match, replacement, position + 1)
            out.append(text)
        else:
            out.append(letter)
            position += 1
    return "".join(out)


def _group(match: re.Match[str], replacement: str, position: int) -> tuple[str, int]:
    if replacement[position : position + 1] == "{":
        end = replacement.find("}", position)
        if end < 0:
            raise ValueError("named capturing group is missing trailing '}'")
        name = replacement[position + 1 : end]
        if name not in match.re.groupindex:
            raise ValueError(f"No group with name {{{name}}}")
        return match.group(name) or "", end + 1
    if not replacement[position : position + 1].isdigit():
        raise ValueError("Illegal group reference")
    number = int(replacement[position])
    position += 1
    if number > match.re.groups:
        raise IndexError(f"No group {number}")
    # Java takes further digits only while they still name a group.
    while replacement[position : position + 1].isdigit():
        longer = number * 10 + int(replacement[position])
        if longer > match.re.groups:
            break
        number, position = longer, position + 1
    return match.group(number) or "", position
