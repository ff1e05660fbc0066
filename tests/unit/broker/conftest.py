"""Fixtures of the broker's unit tests."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.unit.broker.manual import ManualTime


@pytest.fixture
def time() -> Iterator[ManualTime]:
    """Time that the test moves."""
    moved = ManualTime()
    yield moved
    moved.close()


@pytest.fixture
def memory(tmp_path: Path) -> Iterator[Path]:
    """A folder in which thousands of syncs cost nothing, where the machine has a file system in memory."""
    shared = Path("/dev/shm")
    if not shared.is_dir():
        yield tmp_path
        return
    with tempfile.TemporaryDirectory(prefix="syncline-", dir=shared) as folder:
        yield Path(folder)
