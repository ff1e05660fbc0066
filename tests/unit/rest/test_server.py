"""Addresses to listen on."""

from __future__ import annotations

import pytest

from syncline.errors import ConfigError
from syncline.rest.server import Tls, bind


def test_a_port_that_is_left_open_is_chosen() -> None:
    listener = bind("HTTP://127.0.0.1:0/")
    try:
        assert (listener.scheme, listener.host) == ("http", "127.0.0.1")
        assert listener.port > 0
    finally:
        listener.socket.close()


@pytest.mark.parametrize("address", ["127.0.0.1:80", "ftp://host:80", "http://host", "http://host:99999", ""])
def test_what_is_no_address_is_refused_under_its_key(address: str) -> None:
    with pytest.raises(ConfigError, match=r"listeners: .* is not of the form"):
        bind(address)


def test_a_port_that_is_taken_is_said_so_in_a_sentence() -> None:
    first = bind("http://127.0.0.1:0")
    try:
        with pytest.raises(ConfigError, match=f"admin.listeners: cannot listen on port {first.port} of 127.0.0.1"):
            bind(f"http://127.0.0.1:{first.port}", "admin.listeners")
    finally:
        first.socket.close()


def test_https_takes_its_own_options_before_the_common_ones() -> None:
    made = Tls.of(
        {
            "ssl.keystore.type": "JKS",
            "listeners.https.ssl.keystore.type": "pem",
            "ssl.keystore.location": " /all.pem ",
            "ssl.client.auth": "required",
        },
        "listeners.https.",
    )
    assert (made.certificate, made.required) == ("/all.pem", True)


@pytest.mark.parametrize("properties", [{}, {"ssl.keystore.location": "/store.jks", "ssl.keystore.type": "JKS"}])
def test_https_without_a_file_that_can_be_read_is_refused(properties: dict[str, str]) -> None:
    with pytest.raises(ConfigError, match="JKS and PKCS12 cannot be read here"):
        Tls.of(properties, "listeners.https.")
