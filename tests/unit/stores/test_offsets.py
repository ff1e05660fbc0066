"""The table of source offsets, and the stores that hold it."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from syncline.errors import ConnectError
from syncline.stores.file import FileOffsets, decode, encode
from syncline.stores.offsets import ConnectorOffsets, OffsetTable

RECORDED = json.loads((Path(__file__).parents[2] / "golden" / "data" / "internal_topics.json").read_text())
STEPS = RECORDED["standalone_offset_file"]["steps"]

entries = st.dictionaries(st.binary(max_size=40), st.one_of(st.none(), st.binary(max_size=40)), max_size=40)


def test_a_partition_keeps_the_spelling_under_which_it_was_stored() -> None:
    table = OffsetTable()
    spelled = b'["c", {"b":2,"a":1}]'
    table.absorb({spelled: b'{"at":1}'})
    assert table.offset("c", {"a": 1, "b": 2}) == {"at": 1}
    assert table.encode("c", [({"a": 1, "b": 2}, {"at": 2})]) == {spelled: b'{"at":2}'}
    assert table.encode("other", [({"a": 1, "b": 2}, None)]) == {b'["other",{"a":1,"b":2}]': None}


def test_a_deleted_offset_is_known_as_deleted() -> None:
    table = OffsetTable()
    table.absorb({b'["c",{"a":1}]': b'{"at":1}'})
    table.absorb({b'["c",{"a":1}]': None})
    assert table.of("c") == [({"a": 1}, None)]
    assert table.offset("c", {"a": 1}) is None


def test_a_key_that_means_nothing_is_kept_and_said_once(caplog: pytest.LogCaptureFixture) -> None:
    table = OffsetTable()
    table.absorb({b"x": b"1"})
    table.absorb({b"x": b"2"})
    assert table.raw() == {b"x": b"2"}
    assert len(caplog.records) == 1


@pytest.mark.parametrize("step", STEPS, ids=[step["after"] for step in STEPS])
def test_the_recorded_file_is_read_and_written_byte_for_byte(step: dict[str, Any]) -> None:
    raw = bytes.fromhex(step["hex"])
    found = decode(raw)
    expected = step["decoded"]["entries"]
    assert {key.decode(): None if value is None else value.decode() for key, value in found.items()} == {
        entry["key"]: entry["value"] for entry in expected
    }
    assert encode(found) == raw


@given(entries=entries)
def test_a_stream_is_read_back(entries: dict[bytes, bytes | None]) -> None:
    assert decode(encode(entries)) == entries


@given(entries=entries, data=st.data())
def test_a_stream_cut_short_is_refused(entries: dict[bytes, bytes | None], data: st.DataObject) -> None:
    whole = encode(entries)
    with pytest.raises(ValueError, match="it "):
        decode(whole[: data.draw(st.integers(0, len(whole) - 1))])


@pytest.mark.parametrize(
    "stream",
    [
        pytest.param(b"{}", id="JSON"),
        pytest.param(bytes.fromhex("aced00057400017878"), id="a Java string"),
        pytest.param(encode({b"k": b"v"})[:-1] + b"\x70", id="one element too many"),
        pytest.param(encode({b"k": b"v"}).replace(b"[B", b"[I"), id="arrays of integers"),
    ],
)
def test_foreign_streams_are_refused(stream: bytes) -> None:
    with pytest.raises(ValueError, match=r"^(it|an array) "):
        decode(stream)


def test_offsets_survive_in_the_file(tmp_path: Path) -> None:
    path = tmp_path / "connect.offsets"
    store = FileOffsets(path)
    store.start()
    store.commit("c", [({"file": "a"}, {"at": 1}), ({"file": "b"}, {"at": 2})])
    store.commit("c", [({"file": "b"}, None)])
    again = FileOffsets(path)
    again.start()
    assert ConnectorOffsets(again, "c").offsets([{"file": "a"}, {"file": "b"}, {"file": "c"}]) == [
        {"at": 1},
        None,
        None,
    ]
    assert decode(path.read_bytes())[b'["c",{"file":"b"}]'] is None
    assert os.listdir(tmp_path) == ["connect.offsets"]


def test_a_file_written_by_a_jvm_worker_is_carried_on(tmp_path: Path) -> None:
    path = tmp_path / "connect.offsets"
    path.write_bytes(bytes.fromhex(STEPS[0]["hex"]))
    store = FileOffsets(path)
    store.start()
    assert store.table.of("sa-a") == [({"filename": "golden-sa.txt"}, {"position": 6})]
    store.commit("sa-a", [({"filename": "golden-sa.txt"}, {"position": 9})])
    assert decode(path.read_bytes())[b'["sa-a",{"filename":"golden-sa.txt"}]'] == b'{"position":9}'


def test_an_empty_file_is_a_new_one(tmp_path: Path) -> None:
    path = tmp_path / "connect.offsets"
    path.touch()
    store = FileOffsets(path)
    store.start()
    assert store.table.raw() == {}


def test_a_file_that_cannot_be_read_is_left_alone_and_said(tmp_path: Path) -> None:
    path = tmp_path / "connect.offsets"
    path.write_bytes(b"something else")
    with pytest.raises(ConnectError, match="cannot be read: it does not begin as a Java object stream"):
        FileOffsets(path).start()
    assert path.read_bytes() == b"something else"


def test_a_missing_folder_is_said_at_the_start(tmp_path: Path) -> None:
    with pytest.raises(ConnectError, match=r"does not exist; create it or change offset\.storage\.file\.filename"):
        FileOffsets(tmp_path / "none" / "connect.offsets").start()


def test_a_save_that_fails_leaves_file_and_table_as_they_were(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "connect.offsets"
    store = FileOffsets(path)
    store.start()
    store.commit("c", [({"file": "a"}, {"at": 1})])
    before = path.read_bytes()

    def fail(descriptor: int) -> None:
        raise OSError("disk full")

    with monkeypatch.context() as broken:
        broken.setattr(os, "fsync", fail)
        with pytest.raises(ConnectError, match="cannot be written: disk full"):
            store.commit("c", [({"file": "a"}, {"at": 2})])
    assert path.read_bytes() == before
    assert store.table.offset("c", {"file": "a"}) == {"at": 1}
