"""Java's regular expressions and replacements."""

from __future__ import annotations

import re

import pytest

from syncline.transforms.java_regex import compile_java, expand


@pytest.mark.parametrize(
    ("pattern", "text", "matches"),
    [
        (r"\p{Alpha}+\P{Digit}", "abc-", True),
        (r"[\p{Lower}_]+", "a_b", True),
        (r"\Qa.b\E.*", "a.bc", True),
        (r"\Qa.b\E.*", "axbc", False),
        (r"\Qa+", "a+", True),
        (r"a\\Qb", r"a\Qb", True),
        (r"(?<x>a)\k<x>\z", "aa", True),
        (r"t*+op", "ttop", True),
        (r"\d+", "\u0663", False),
        (r"\w\h\w", "a\tb", True),
    ],
)
def test_means_what_java_means(pattern: str, text: str, matches: bool) -> None:
    assert (compile_java(pattern).fullmatch(text) is not None) is matches


@pytest.mark.parametrize("pattern", ["[a-z&&[^b]]", "[a[bc]]", r"\p{IsLatin}", r"[\P{Alpha}]", "(", "a{2,1}"])
def test_what_python_would_read_otherwise_is_refused(pattern: str) -> None:
    with pytest.raises(re.error):
        compile_java(pattern)


@pytest.mark.parametrize(
    ("replacement", "expected"),
    [("$2-$1", "b-a"), ("${last}", "b"), (r"\$1\\", "$1\\"), ("$10", "a0"), ("$3x", "x"), ("", "")],
)
def test_replacements(replacement: str, expected: str) -> None:
    match = compile_java("(a)(?<last>b)(c)?").fullmatch("ab")
    assert match is not None
    assert expand(match, replacement) == expected


@pytest.mark.parametrize(
    ("replacement", "error"),
    [
        ("$4", IndexError),
        ("x$", ValueError),
        ("$x", ValueError),
        ("\\", ValueError),
        ("${no}", ValueError),
        ("${last", ValueError),
    ],
)
def test_a_reference_to_nothing_is_refused(replacement: str, error: type[Exception]) -> None:
    match = compile_java("(a)(?<last>b)(c)?").fullmatch("ab")
    assert match is not None
    with pytest.raises(error):
        expand(match, replacement)
