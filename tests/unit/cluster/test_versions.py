"""Plug-in versions a configuration may ask for."""

from __future__ import annotations

import pytest

from syncline.cluster.versions import satisfies


@pytest.mark.parametrize(
    ("wanted", "fits"),
    [
        ("4.1.0", True),
        ("4.1", False),
        ("latest", True),
        ("[4.1.0]", True),
        ("[4.0,5.0)", True),
        ("[4.1]", True),
        ("(4.1.0,)", False),
        ("(,4.1.0]", True),
        ("(,4.1.0)", False),
        ("[3.0,4.0),[4.1,)", True),
        ("[4.1.0-rc1,)", True),
        ("(,4.1.0-rc1]", False),
    ],
)
def test_one_version_or_ranges(wanted: str, fits: bool) -> None:
    assert satisfies("4.1.0", wanted) is fits


@pytest.mark.parametrize("wanted", ["[4.0", "(", "[1,2,3]", "[4.0,5.0) or so"])
def test_what_is_no_range_is_said_so(wanted: str) -> None:
    with pytest.raises(ValueError, match="neither a version nor a range"):
        satisfies("4.1.0", wanted)
