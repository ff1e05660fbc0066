"""Request bodies as Kafka Connect reads them (spec/connect.md 1.1, "JSON in" and "JSON errors").

Values of a configuration become the text they have in the source, `1.50` as well as `1e3`; so bodies are split
into raw JSON values and no number is ever parsed.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Final

import msgspec

from syncline.cluster.herder import GivenOffset, Target
from syncline.errors import ConnectError

_ENTITIES: Final = "org.apache.kafka.connect.runtime.rest.entities."
CREATE_REQUEST: Final = f"{_ENTITIES}CreateConnectorRequest"
OFFSETS: Final = f"{_ENTITIES}ConnectorOffsets"
OFFSET: Final = f"{_ENTITIES}ConnectorOffset"
INITIAL_STATE: Final = f"{CREATE_REQUEST}$InitialState"
STRING: Final = "java.lang.String"
STRING_MAP: Final = "java.util.LinkedHashMap<java.lang.String,java.lang.String>"
"""Names that Kafka Connect's messages have for what is expected."""

_OBJECT: Final = msgspec.json.Decoder(dict[str, msgspec.Raw])
_LIST: Final = msgspec.json.Decoder(list[msgspec.Raw])
_STRING: Final = msgspec.json.Decoder(str)
_POSITION: Final = re.compile(r"(.*) \(byte (\d+)\)")
_KINDS: Final = {b"{": "Object", b"[": "Array", b'"': "String", b"t": "Boolean", b"f": "Boolean", b"n": "null"}
_BOM: Final = b"\xef\xbb\xbf"
_STATES: Final = {"RUNNING": Target.STARTED, "PAUSED": Target.PAUSED, "STOPPED": Target.STOPPED}


class JsonProblem(ConnectError):
    """A body that is no JSON, or not what is expected; the answer is 500, and clients are used to that."""


def create_request(body: bytes) -> tuple[str, dict[str, str | None], Target | None]:
    """Name, configuration and wanted state of a POST to /connectors."""
    members = _object(body, CREATE_REQUEST, "name", "config", "initial_state")
    name = _scalar("name", members["name"]) if "name" in members else None
    config = bytes(members.get("config", b"null"))
    if config == b"null":
        raise JsonProblem("the request has no 'config', an object with the connector's configuration")
    state = bytes(members.get("initial_state", b"null"))
    return (name or "").strip(), config_of(config), None if state == b"null" else _state(state)


def config_of(body: bytes) -> dict[str, str | None]:
    """A flat configuration; numbers and booleans become the text of their source."""
    return {key: _scalar(key, value) for key, value in _object(body, STRING_MAP).items()}


def offsets_request(body: bytes) -> list[GivenOffset]:
    """Partition and offset pairs of a PATCH to /offsets; a missing offset is null, which resets."""
    listed = bytes(_object(body, OFFSETS, "offsets").get("offsets", b"null"))
    if listed == b"null":
        return []
    if not listed.startswith(b"["):
        raise _unexpected(f"java.util.ArrayList<{OFFSET}>", listed)
    pairs: list[GivenOffset] = []
    for entry in _LIST.decode(listed):
        members = _object(bytes(entry), OFFSET, "partition", "offset")
        pairs.append((_flat(members.get("partition")), _flat(members.get("offset"))))
    return pairs


def level_of(body: bytes) -> str | None:
    """The level in a PUT to /admin/loggers; None when there is none."""
    return config_of(body).get("level")


def _object(body: bytes, java: str, *allowed: str) -> Mapping[str, msgspec.Raw]:
    """The members of a JSON object; with `allowed` no others. JsonProblem says where and why not."""
    body = body.removeprefix(_BOM)
    start = body.lstrip(b" \t\r\n")[:1]
    if not start or body.strip(b" \t\r\n") == b"null":
        raise JsonProblem(f"the request body is {'null' if start else 'empty'}; a JSON object is expected")
    try:
        members = _OBJECT.decode(body)
    except msgspec.ValidationError:
        raise _unexpected(java, body.strip()) from None
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as exc:
        raise _syntax_problem(body, exc) from exc
    for name in members:
        if allowed and name not in allowed:
            raise JsonProblem(
                f'Unrecognized field "{name}" (class {java}), not marked as ignorable; known are {", ".join(allowed)}'
            )
    return members


def _syntax_problem(body: bytes, exc: Exception) -> JsonProblem:
    found = _POSITION.fullmatch(str(exc))
    position = len(body) if found is None else int(found[2])
    if found is not None and found[1].endswith("trailing characters"):
        # The decoder has read the first of them already.
        position -= 1
    if found is None or position >= len(body):
        line, column = _place(body, len(body))
        ended = isinstance(exc, msgspec.DecodeError)
        what = "Unexpected end-of-input: the JSON text is not complete" if ended else str(exc)
        return JsonProblem(f"{what} at line {line}, column {column}")
    line, column = _place(body, position)
    letter = body[position:].decode("utf-8", "replace")[:1]
    why = found[1].removeprefix("JSON is malformed: ")
    hint = "; JSON has no comments" if letter in "#/" else ""
    return JsonProblem(
        f"Unexpected character ('{letter}' (code {ord(letter)})): {why}{hint} at line {line}, column {column}"
    )


def _place(body: bytes, position: int) -> tuple[int, int]:
    """Line and column, from 1, columns in characters."""
    before = body[:position]
    return before.count(b"\n") + 1, len(before.rpartition(b"\n")[2].decode("utf-8", "replace")) + 1


def _unexpected(java: str, value: bytes, where: str = "") -> JsonProblem:
    kind = _KINDS.get(value[:1], "Number")
    if kind in ("Object", "Array"):
        return JsonProblem(
            f"Cannot deserialize value of type `{java}` from {kind} value (token `JsonToken.START_{kind.upper()}`)"
            f"{where}"
        )
    return JsonProblem(f"Cannot construct instance of `{java.partition('<')[0]}` from {kind} value{where}")


def _scalar(key: str, raw: msgspec.Raw) -> str | None:
    value = bytes(raw)
    if value == b"null":
        return None
    if value.startswith(b'"'):
        return _text(value, f"the value of {key!r}")
    if value.startswith((b"{", b"[")):
        raise _unexpected(STRING, value, f": the value of {key!r} must be a text, a number or a boolean")
    return value.decode()


def _text(value: bytes, what: str) -> str:
    try:
        return _STRING.decode(value)
    except (msgspec.DecodeError, UnicodeDecodeError) as exc:
        # Half of a surrogate pair, for instance, which no encoding can hold.
        raise JsonProblem(f"{what} is not valid Unicode text") from exc


def _state(value: bytes) -> Target:
    text = _text(value, "initial_state") if value.startswith(b'"') else None
    if text is None or text.upper() not in _STATES:
        shown = value.decode("utf-8", "replace") if text is None else text
        raise JsonProblem(
            f"Cannot construct instance of `{INITIAL_STATE}`: {shown!r} is not one of {', '.join(_STATES)}"
        )
    return _STATES[text.upper()]


def _flat(raw: msgspec.Raw | None) -> dict[str, Any] | None:
    """A partition or an offset."""
    value = b"null" if raw is None else bytes(raw)
    if value == b"null":
        return None
    if not value.startswith(b"{"):
        raise _unexpected("java.util.LinkedHashMap<java.lang.String,java.lang.Object>", value)
    try:
        found: dict[str, Any] = msgspec.json.decode(value)
    except (msgspec.DecodeError, UnicodeDecodeError) as exc:
        raise JsonProblem("a partition or offset is not valid Unicode text") from exc
    return found
