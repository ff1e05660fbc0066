"""The walk over a request's lengths ends where the decoder ends, and never lets a length pass that does not fit."""

from __future__ import annotations

import contextlib

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from kio.index import load_request_schema
from kio.serial import entity_reader

from syncline.broker.handlers import APIS
from syncline.broker.skim import skimmer
from syncline.broker.wire import Unreadable, decode
from tests.integration.broker.fuzzing import Fuzzer

VERSIONS = [(api.key, version) for api in APIS.values() for version in range(api.lowest, api.highest + 1)]


@pytest.mark.parametrize(("api_key", "version"), VERSIONS)
def test_it_ends_where_the_decoder_ends(api_key: int, version: int) -> None:
    fuzzer = Fuzzer(api_key * 100 + version)
    schema = load_request_schema(api_key, version)
    for _ in range(20):
        frame = fuzzer.valid(api_key, version)[4:]
        _, start = entity_reader(schema.__header_schema__)(frame, 0)
        assert skimmer(schema)(frame, start) == len(frame)


@settings(max_examples=300)
@given(st.sampled_from(VERSIONS), st.binary(max_size=60))
def test_noise_is_decoded_or_unreadable_and_nothing_else(which: tuple[int, int], noise: bytes) -> None:
    api_key, version = which
    frame = api_key.to_bytes(2) + version.to_bytes(2) + bytes(4) + b"\xff\xff" + noise
    with contextlib.suppress(Unreadable):
        decode(frame)
