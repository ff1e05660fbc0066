"""A herder for each test."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.unit.cluster.herding import Site


@pytest.fixture
def site() -> Iterator[Site]:
    made = Site()
    yield made
    made.herder.stop()
