"""Fixtures of the broker's unit tests."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.unit.broker.manual import ManualTime


@pytest.fixture
def time() -> Iterator[ManualTime]:
    """Time that the test moves."""
    moved = ManualTime()
    yield moved
    moved.close()
