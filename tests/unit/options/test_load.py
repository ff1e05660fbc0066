"""Options: how texts become values, what is said of those that do not, and what a form is told."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from syncline.errors import ConfigError
from syncline.options import (
    Kind,
    Option,
    Password,
    any_case,
    at_least,
    check_all,
    load,
    non_empty,
    option,
    options_of,
    parse,
)
from syncline.options.checks import refuse
from syncline.options.describe import value_info

NUMBERS = {Kind.SHORT: 16, Kind.INT: 32, Kind.LONG: 64}


def of(kind: Kind, text: str) -> Any:
    return parse(Option(name="k", doc="", kind=kind), text)


@pytest.mark.parametrize(
    ("kind", "text", "value"),
    [
        (Kind.STRING, " a b\t", "a b"),
        (Kind.STRING, "\u00a0a\u00a0", "\u00a0a\u00a0"),
        (Kind.PASSWORD, " s ", Password("s")),
        (Kind.LIST, " a , b,, c", ["a", "b", "", "c"]),
        (Kind.LIST, "  ", []),
        (Kind.BOOLEAN, " TRUE", True),
        (Kind.INT, "+007", 7),
        (Kind.INT, "0" * 50 + "7", 7),
        (Kind.DOUBLE, " 1e3 ", 1000.0),
    ],
)
def test_blanks_as_java_knows_them_do_not_count(kind: Kind, text: str, value: Any) -> None:
    assert of(kind, text) == value


@pytest.mark.parametrize("kind", NUMBERS)
@given(number=st.integers(-(2**70), 2**70))
def test_a_number_is_read_when_it_fits_its_kind(kind: Kind, number: int) -> None:
    bound = 2 ** (NUMBERS[kind] - 1)
    if -bound <= number < bound:
        assert of(kind, str(number)) == number
    else:
        with pytest.raises(ValueError, match=f"Not a number of type {kind}"):
            of(kind, str(number))


@pytest.mark.parametrize(
    ("kind", "text", "why"),
    [
        (Kind.INT, "3.5", "Not a number of type INT"),
        (Kind.INT, "", "Not a number of type INT"),
        (Kind.INT, "1_000", "Not a number of type INT"),
        (Kind.LONG, "٣", "Not a number of type LONG"),
        (Kind.LONG, "9" * 5000, "Not a number of type LONG"),
        (Kind.DOUBLE, "1_0", "Not a number of type DOUBLE"),
        (Kind.DOUBLE, "x", "Not a number of type DOUBLE"),
        (Kind.BOOLEAN, " yes ", "Expected value to be either true or false"),
    ],
)
def test_what_does_not_parse_is_named_as_it_was_given(kind: Kind, text: str, why: str) -> None:
    with pytest.raises(ValueError, match="Invalid value") as raised:
        of(kind, text)
    assert str(raised.value) == f"Invalid value {text} for configuration k: {why}"


@pytest.mark.parametrize(
    ("value", "shown"),
    [(None, "null"), (["a", "b"], "[a, b]"), ([], "[]"), (True, "true"), (Password("s"), "[hidden]")],
)
def test_messages_show_values_as_java_prints_them(value: Any, shown: str) -> None:
    assert str(refuse("k", value, "no")) == f"Invalid value {shown} for configuration k: no"


def test_a_value_that_is_missing_or_unusable_still_meets_its_check() -> None:
    options = [
        Option(name="n", doc="", kind=Kind.INT, required=True, check=at_least(1)),
        Option(name="e", doc="", default="a", check=any_case(["a", "b"])),
        Option(name="l", doc="", kind=Kind.LIST, check=non_empty),
    ]
    found = {name: answer.errors for name, answer in check_all(options, {"e": "A", "l": ""}).items()}
    assert found == {
        "n": [
            'Missing required configuration "n" which has no default value.',
            "Invalid value null for configuration n: Value must be non-null",
        ],
        "e": [],
        "l": ["Invalid value [] for configuration l: Empty list"],
    }


@dataclass(frozen=True, kw_only=True)
class Fruit:
    ripe: bool = option("ripe", "", kind=Kind.BOOLEAN, default="false")
    use: str = option(
        "use",
        "",
        default="",
        recommend=lambda parsed: ["eat", "cook"] if parsed["ripe"] else ["wait"],
        visible=lambda parsed: parsed["ripe"] is not None,
    )


@pytest.mark.parametrize(
    ("ripe", "recommended", "visible"),
    [("true", ["eat", "cook"], True), (" False ", ["wait"], True), ("perhaps", ["wait"], False)],
)
def test_what_a_form_offers_depends_on_the_parsed_values(ripe: str, recommended: list[str], visible: bool) -> None:
    info = value_info(check_all(options_of(Fruit), {"ripe": ripe})["use"])
    assert info["recommended_values"] == recommended
    assert info["visible"] is visible


def test_loading_reports_every_mistake_at_once() -> None:
    with pytest.raises(ConfigError) as raised:
        load(Fruit, {"ripe": "perhaps"})
    assert list(raised.value.errors) == ["ripe"]
    assert load(Fruit, {}) == Fruit(ripe=False, use="")
