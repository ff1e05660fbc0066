"""Answers are, byte for byte, what kio writes of the same values, in every version of every API."""

from __future__ import annotations

import dataclasses
import io
import random
from datetime import UTC, datetime, timedelta
from types import UnionType
from typing import Any, Union, get_args, get_origin
from uuid import UUID

import pytest
from kio.index import load_response_schema
from kio.schema.errors import ErrorCode
from kio.serial import entity_writer

from syncline.broker.answers import Unread, joined, writer
from syncline.broker.handlers import APIS

VERSIONS = [(api.key, version) for api in APIS.values() for version in range(api.lowest, api.highest + 1)]
BITS = {"int8": 8, "int16": 16, "int32": 32, "int64": 64}


def both(dice: random.Random, schema: Any) -> tuple[dict[str, Any], Any]:
    """Plain values, and kio's entity of them; a field is left out where it has a default, now and then."""
    plain, given = {}, {}
    for field in dataclasses.fields(schema):
        has_default = field.default is not dataclasses.MISSING
        if has_default and dice.random() < 0.3:
            continue
        plain[field.name], given[field.name] = value(dice, field.type, field.metadata.get("kafka_type"))
    return plain, schema(**given)


def value(dice: random.Random, annotation: Any, kind: str | None) -> tuple[Any, Any]:
    if get_origin(annotation) in (Union, UnionType):
        inner = next(part for part in get_args(annotation) if part is not type(None))
        if type(None) in get_args(annotation) and dice.random() < 0.3:
            return None, None
        return value(dice, inner, kind)
    if get_origin(annotation) is tuple:
        count = dice.choice([0, 1, 3, 130])
        pairs = [value(dice, get_args(annotation)[0], kind) for _ in range(min(count, 130 if kind else 3))]
        return [plain for plain, _ in pairs], tuple(given for _, given in pairs)
    if dataclasses.is_dataclass(annotation):
        return both(dice, annotation)
    if kind == "string":
        text = dice.choice(["", "a", "ü" * 100])
        return text, text
    if kind in ("bytes", "records"):
        data = dice.randbytes(dice.choice([0, 1, 300]))
        return data, data
    if kind == "uuid":
        unique = UUID(int=dice.getrandbits(128))
        return unique, unique
    if kind == "bool":
        truth = dice.random() < 0.5
        return truth, truth
    if kind == "error_code":
        code = dice.choice(list(ErrorCode))
        return int(code), code
    if kind is not None and kind.startswith("timedelta"):
        ms = dice.choice([0, 1, 3_600_000])
        return ms, timedelta(milliseconds=ms)
    if kind is not None and kind.startswith("datetime"):
        ms = dice.choice([0, 1_700_000_000_123])
        return ms, datetime.fromtimestamp(ms // 1000, UTC) + timedelta(milliseconds=ms % 1000)
    bits = BITS.get(kind or "", 16)
    number = dice.choice([0, 1, -1, 2 ** (bits - 1) - 1, -(2 ** (bits - 1))])
    if kind is not None and kind.startswith("uint"):
        number = 1
    return number, number


@pytest.mark.parametrize(("api_key", "version"), VERSIONS)
def test_an_answer_is_what_kio_writes(api_key: int, version: int) -> None:
    schema = load_response_schema(api_key, version)
    dice = random.Random(api_key * 100 + version)
    for _ in range(20):
        plain, entity = both(dice, schema)
        expected = io.BytesIO()
        entity_writer(schema)(expected, entity)
        parts: list[bytes | Unread] = []
        writer(schema)(parts.append, {**plain, "of_another_version": 1})
        assert joined(parts) == expected.getvalue()
