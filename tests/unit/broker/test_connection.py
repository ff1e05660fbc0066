"""A connection hands over whole requests, however their bytes come."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import Any, cast

from hypothesis import given
from hypothesis import strategies as st

from syncline.broker.connection import READ_BUFFER, Connection
from syncline.broker.endpoints import Endpoint
from syncline.broker.limits import RequestMemory
from syncline.broker.metrics import Metrics

SIZES = st.integers(8, 300) | st.integers(READ_BUFFER - 10, READ_BUFFER + 10) | st.integers(READ_BUFFER, 400_000)


class Noting(Connection):
    """Keeps what it would serve."""

    def __init__(self) -> None:
        broker = SimpleNamespace(metrics=Metrics(), request_memory=RequestMemory(0))
        endpoint = SimpleNamespace(
            listener=SimpleNamespace(name="PLAINTEXT"), max_frame=1 << 20, max_token=0, new_session=lambda: None
        )
        super().__init__(broker, {}, cast(Endpoint, endpoint))
        self.frames: list[bytes | memoryview] = []

    def _begin(self, frame: bytes | memoryview) -> Any:
        self.frames.append(frame)

    def receive(self, data: memoryview) -> int:
        """Take what there is room for; how much that was."""
        room = self.get_buffer(-1)
        count = min(len(room), len(data))
        room[:count] = data[:count]
        del room
        self.buffer_updated(count)
        return count


@given(st.lists(SIZES, min_size=1, max_size=6), st.lists(st.integers(1, 200_000), min_size=1, max_size=8))
def test_requests_stay_as_they_were_sent(sizes: list[int], pieces: list[int]) -> None:
    sent = [bytes([number]) * size for number, size in enumerate(sizes)]
    stream = memoryview(b"".join(len(frame).to_bytes(4, "big") + frame for frame in sent))

    async def receive() -> list[bytes | memoryview]:
        connection = Noting()
        turn = 0
        rest = stream
        while rest:
            rest = rest[connection.receive(rest[: pieces[turn % len(pieces)]]) :]
            turn += 1
        return connection.frames

    # Looked at in the end: none of them may lie in memory that later ones have used.
    assert [bytes(frame) for frame in asyncio.run(receive())] == sent
