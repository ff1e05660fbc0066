"""Headers that the worker's configuration adds."""

from __future__ import annotations

import threading

import pytest

from syncline.errors import ConfigError
from syncline.rest.headers import Cors, ExtraHeaders


class Stopped:
    """A clock that stands still at the epoch."""

    def wall_ms(self) -> int:
        return 0

    def monotonic(self) -> float:
        return 0

    def wait(self, event: threading.Event, seconds: float) -> bool:
        return True


def test_nobody_may_call_from_a_browser_unless_that_is_configured() -> None:
    assert list(Cors.of("", "").headers("GET", {"origin": "http://ui"})) == []
    assert list(Cors.of("http://other", "").headers("GET", {"origin": "http://ui"})) == []
    assert list(Cors.of("*", "").headers("GET", {})) == []


def test_an_allowed_page_is_named() -> None:
    found = dict(Cors.of("http://*.example, http://ui", "").headers("GET", {"origin": "http://a.example"}))
    assert found["access-control-allow-origin"] == "http://a.example"
    assert found["vary"] == "Origin"
    assert "access-control-allow-methods" not in found


@pytest.mark.parametrize(
    ("methods", "allowed"), [("", None), ("get,put", "GET,PUT"), ("DELETE,PUT", "DELETE,PUT"), ("POST", None)]
)
def test_a_browser_that_asks_first_hears_of_the_methods(methods: str, allowed: str | None) -> None:
    request = {"origin": "http://ui", "access-control-request-method": "PUT"}
    found = dict(Cors.of("*", methods).headers("OPTIONS", request))
    assert found.get("access-control-allow-methods") == allowed


def test_headers_are_set_and_dates_are_counted_from_now() -> None:
    text = 'set X-Frame-Options:DENY, "add Cache-Control: no-cache, no-store", setDate Expires: 1000'
    assert list(ExtraHeaders.of(text, Stopped()).headers()) == [
        ("x-frame-options", "DENY"),
        ("cache-control", "no-cache, no-store"),
        ("expires", "Thu, 01 Jan 1970 00:00:01 GMT"),
    ]


def test_no_headers_without_configuration() -> None:
    assert list(ExtraHeaders.of(" ").headers()) == []


@pytest.mark.parametrize(
    "text", ["put A:b", "set A", "set :b", "set A b:c", "setDate Expires: soon", '"set A:b', 'set A:b "set C:d"']
)
def test_an_entry_that_cannot_be_understood_is_named(text: str) -> None:
    with pytest.raises(ConfigError, match=r"Invalid value .* for configuration response.http.headers.config"):
        ExtraHeaders.of(text)
