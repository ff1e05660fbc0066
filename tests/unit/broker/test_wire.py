"""Frames that are no requests are told from those that are."""

from __future__ import annotations

import struct

import pytest

from syncline.broker.wire import Unreadable, decode

DELETE_TOPICS = 20


def frame(*tail: bytes) -> bytes:
    """DeleteTopics v1, up to its array of names."""
    return struct.pack(">hhih", DELETE_TOPICS, 1, 7, -1) + b"".join(tail)


def test_a_request_is_decoded_with_its_header() -> None:
    request = decode(frame(struct.pack(">ih", 1, 3), b"abc", struct.pack(">i", 0)))
    assert (request.api_key, request.api_version, request.correlation_id, request.client_id) == (20, 1, 7, "")
    assert request.body.topic_names == ("abc",)


@pytest.mark.parametrize(
    ("tail", "said"),
    [
        pytest.param(struct.pack(">ii", -1, 0), "an array is null", id="an array that may not be null"),
        pytest.param(
            struct.pack(">i", 1 << 30),
            "an array of 1073741824 elements in 0 bytes",
            id="an array longer than the frame",
        ),
        pytest.param(b"", "request 20 v1", id="nothing behind the header"),
    ],
)
def test_what_does_not_decode_is_unreadable(tail: bytes, said: str) -> None:
    with pytest.raises(Unreadable, match=said):
        decode(frame(tail))


def test_a_frame_shorter_than_a_header_is_unreadable() -> None:
    with pytest.raises(Unreadable, match="shorter than a request header"):
        decode(b"\0\x03")
