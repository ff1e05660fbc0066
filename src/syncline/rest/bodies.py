"""Request bodies: JSON as Kafka Connect reads it (spec/connect.md 1.1, "JSON in" and "JSON errors")."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, Final

from syncline.cluster.herder import Target
from syncline.errors import ConnectError


class JsonProblem(ConnectError):
    """The body is no JSON or not of the expected form; Kafka Connect answers 500, and clients know that."""


class _Number(str):
    """A number in the text of its source, which is what it becomes as a configuration value."""

    __slots__ = ()


def _constant(name: str) -> Any:
    raise ValueError(f"{name} is not JSON")


_DECODER: Final = json.JSONDecoder(parse_float=_Number, parse_int=_Number, parse_constant=_constant)
_PLAIN: Final = json.JSONDecoder(parse_constant=_constant)


def parse(raw: bytes, *, exact_numbers: bool = True) -> Any:
    """The JSON value; JsonProblem with line and column otherwise."""
    try:
        text = raw.decode("utf-8-sig")
        if not text.strip():
            raise JsonProblem("the request body is empty; a JSON object is expected")
        decoder = _DECODER if exact_numbers else _PLAIN
        value, end = decoder.raw_decode(text, len(text) - len(text.lstrip(" \t\r\n")))
        if text[end:].strip(" \t\r\n"):
            raise json.JSONDecodeError("text after the JSON value", text, end)
    except json.JSONDecodeError as exc:
        hint = " (JSON has no # comments)" if exc.doc[exc.pos : exc.pos + 1] == "#" else ""
        raise JsonProblem(f"{exc.msg}{hint} at line {exc.lineno}, column {exc.colno}") from exc
    except (ValueError, RecursionError) as exc:
        raise JsonProblem(str(exc)) from exc
    if value is None:
        raise JsonProblem("the request body is null; a JSON object is expected")
    return value


def object_of(raw: bytes, *allowed: str, exact_numbers: bool = True) -> dict[str, Any]:
    """A JSON object with no other members than `allowed`; any members when none are named."""
    value = parse(raw, exact_numbers=exact_numbers)
    if not isinstance(value, dict):
        raise JsonProblem(f"Cannot deserialize value of type `object` from {_kind(value)} value")
    for name in value:
        if allowed and name not in allowed:
            raise JsonProblem(f'Unrecognized field "{name}", not marked as ignorable; known are: {", ".join(allowed)}')
    return value


def config_of(value: Any) -> dict[str, str | None]:
    """A flat configuration; scalars become the text of their source."""
    if not isinstance(value, dict):
        raise JsonProblem(f"Cannot deserialize value of type `map` from {_kind(value)} value")
    return {key: _scalar(key, entry) for key, entry in value.items()}


def _scalar(key: str, value: Any) -> str | None:
    if value is None or isinstance(value, str):
        return None if value is None else str(value)
    if isinstance(value, bool):
        return "true" if value else "false"
    raise JsonProblem(f"Cannot deserialize value of type `java.lang.String` from {_kind(value)} value (key {key!r})")


def create_request(raw: bytes) -> tuple[str, dict[str, str | None], Target | None]:
    """Name, configuration and wanted state of a POST to /connectors."""
    body = object_of(raw, "name", "config", "initial_state")
    if body.get("config") is None:
        raise JsonProblem("the request has no 'config'")
    name = _scalar("name", body.get("name"))
    return (name or "").strip(), config_of(body["config"]), _initial_state(body.get("initial_state"))


def _initial_state(value: Any) -> Target | None:
    states = {"RUNNING": Target.STARTED, "PAUSED": Target.PAUSED, "STOPPED": Target.STOPPED}
    if value is None:
        return None
    if isinstance(value, _Number) or not isinstance(value, str) or value.upper() not in states:
        raise JsonProblem(f"Cannot construct instance of `InitialState`: {value!r} is not one of {', '.join(states)}")
    return states[value.upper()]


def offsets_request(raw: bytes) -> list[tuple[Any, Any]]:
    """Partition and offset pairs of a PATCH to /offsets."""
    body = object_of(raw, "offsets", exact_numbers=False)
    listed = body.get("offsets")
    if listed is None:
        return []
    if not isinstance(listed, list):
        raise JsonProblem(f"Cannot deserialize value of type `list` from {_kind(listed)} value")
    pairs = []
    for entry in listed:
        if not isinstance(entry, dict) or entry.keys() - {"partition", "offset"}:
            raise JsonProblem("an offset is an object with the members 'partition' and 'offset'")
        for part in entry.values():
            if part is not None and not isinstance(part, dict):
                raise JsonProblem(f"Cannot deserialize value of type `map` from {_kind(part)} value")
        pairs.append((entry.get("partition"), entry.get("offset")))
    return pairs


def _kind(value: Any) -> str:
    if isinstance(value, _Number):
        return "Number"
    if isinstance(value, Mapping):
        return "Object"
    return {list: "Array", str: "String", bool: "Boolean"}.get(type(value), "Number")
