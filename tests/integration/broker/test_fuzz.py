"""Damaged requests harm nobody but who sends them."""

from __future__ import annotations

from pathlib import Path

from tests.integration.broker.fuzzing import run

FRAMES = 3000
"""In full 100,000: see `fuzzing`."""
MOST_GROWN = 64 * 1024 * 1024


def test_a_healthy_client_goes_on_while_another_sends_damaged_requests(tmp_path: Path) -> None:
    outcome = run(tmp_path, FRAMES, seed=20)
    assert outcome.frames >= FRAMES
    assert outcome.neighbour_errors == []
    assert outcome.neighbour_count > 0
    assert outcome.failures == []
    assert outcome.grown_bytes < MOST_GROWN
