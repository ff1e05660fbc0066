"""What a segment writes, however it is cut into system calls."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from syncline.broker import segment as module
from syncline.broker.files import OpenFiles
from syncline.broker.segment import Segment

PARTS = st.lists(st.binary(max_size=40), max_size=12)


@given(st.lists(PARTS, max_size=3), st.integers(1, 50), st.integers(1, 4), st.integers(1, 60))
def test_parts_are_written_whole_in_pieces_and_in_order(
    appends: list[list[bytes]], piece: int, most_parts: int, taken: int
) -> None:
    """Also when the system takes less than it is given."""
    real = os.pwritev

    def some(file: int, parts: list[bytes], position: int) -> int:
        assert sum(map(len, parts)) <= piece
        assert len(parts) <= most_parts
        return real(file, [b"".join(parts)[:taken]], position)

    with tempfile.TemporaryDirectory() as folder, pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "PIECE", piece)
        patch.setattr(module, "MOST_PARTS", most_parts)
        patch.setattr(os, "pwritev", some)
        segment = Segment(Path(folder), 0, OpenFiles(10))
        for parts in appends:
            segment.write(list(parts))
        whole = b"".join(part for parts in appends for part in parts)
        assert segment.size == len(whole)
        assert (segment.read(0, len(whole)) if whole else b"") == whole
        segment.close()
