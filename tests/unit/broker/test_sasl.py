"""PLAIN and SCRAM as the server sees them, and a connection's way through them."""

from __future__ import annotations

import base64
import hashlib
import hmac

import pytest
from hypothesis import given
from hypothesis import strategies as st

from syncline.broker.errors import BrokerError
from syncline.broker.sasl import AuthenticationFailed, Plain, Scram, ScramCredential, Session, plain_passwords

JAAS = "org.apache.kafka.common.security.plain.PlainLoginModule required"
SALT = b"salt of sixteen b"


def credential(mechanism: str, password: str, iterations: int = 4096) -> ScramCredential:
    digest = mechanism.removeprefix("SCRAM-").replace("-", "").lower()
    salted = hashlib.pbkdf2_hmac(digest, password.encode(), SALT, iterations)
    return ScramCredential.of(mechanism, SALT, iterations, salted)


def proves(exchange: Scram, mechanism: str, user: str, password: str) -> None:
    """The client's half of RFC 5802."""
    digest = mechanism.removeprefix("SCRAM-").replace("-", "").lower()
    bare = f"n={user.replace('=', '=3D').replace(',', '=2C')},r=clientnonce"
    first = exchange.respond(f"n,,{bare}".encode()).decode()
    nonce, salt, iterations = (part[2:] for part in first.split(","))
    salted = hashlib.pbkdf2_hmac(digest, password.encode(), base64.b64decode(salt), int(iterations))
    client_key = hmac.digest(salted, b"Client Key", digest)
    final = f"c=biws,r={nonce}"
    signed = f"{bare},{first},{final}".encode()
    signature = hmac.digest(hashlib.new(digest, client_key).digest(), signed, digest)
    proof = base64.b64encode(bytes(a ^ b for a, b in zip(client_key, signature, strict=True))).decode()
    verifier = exchange.respond(f"{final},p={proof}".encode())
    expected = hmac.digest(hmac.digest(salted, b"Server Key", digest), signed, digest)
    assert verifier == b"v=" + base64.b64encode(expected)


@pytest.mark.parametrize("mechanism", ["SCRAM-SHA-256", "SCRAM-SHA-512"])
@pytest.mark.parametrize("user", ["alice", "a,b=c", "üser"])
def test_scram_proves_both_sides(mechanism: str, user: str) -> None:
    exchange = Scram(mechanism, {user: credential(mechanism, "s3cret")}.get)
    proves(exchange, mechanism, user, "s3cret")
    assert exchange.user == user


def test_a_wrong_password_and_an_unknown_user_are_told_the_same() -> None:
    told = []
    for user in ("alice", "nobody"):
        exchange = Scram("SCRAM-SHA-256", {"alice": credential("SCRAM-SHA-256", "right")}.get)
        with pytest.raises(AuthenticationFailed) as failed:
            proves(exchange, "SCRAM-SHA-256", user, "wrong")
        told.append(str(failed.value))
        assert exchange.user is None
        assert "wrong\n" not in failed.value.detail
    assert told[0] == told[1]


@given(st.lists(st.binary(max_size=80) | st.text("n,=abr-p", max_size=40).map(str.encode), max_size=3))
def test_scram_survives_any_tokens(tokens: list[bytes]) -> None:
    exchange = Scram("SCRAM-SHA-256", {"a": credential("SCRAM-SHA-256", "p")}.get)
    try:
        for token in tokens:
            exchange.respond(token)
    except AuthenticationFailed:
        pass
    assert exchange.user is None


def test_plain_knows_its_users_from_the_jaas_entry() -> None:
    users = plain_passwords(f'{JAAS} username="admin" password="x" user_alice="al\\"ice" user_bob=bob;', "key")
    assert users == {"alice": 'al"ice', "bob": "bob"}
    exchange = Plain(users)
    assert exchange.respond(b'\0alice\0al"ice') == b""
    assert exchange.user == "alice"


def test_a_jaas_entry_that_is_none_is_refused_without_showing_it() -> None:
    with pytest.raises(BrokerError) as refused:
        plain_passwords('user_alice="hidden-word"', "listener.name.x.plain.sasl.jaas.config")
    assert "listener.name.x.plain.sasl.jaas.config" in str(refused.value)
    assert "hidden-word" not in str(refused.value)


@pytest.mark.parametrize(
    "token", [b"", b"\0a", b"\0alice\0", b"\0\0x", b"\0alice\0wrong", b"bob\0alice\0right", b"\xff"]
)
def test_plain_refuses_what_does_not_match(token: bytes) -> None:
    with pytest.raises(AuthenticationFailed):
        Plain({"alice": "right"}).respond(token)


class Moved:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def session(time: Moved) -> Session:
    users = {"alice": "a", "bob": "b"}
    return Session({"PLAIN": lambda: Plain(users), "OTHER": lambda: Plain(users)}, 1000, time)


def test_a_session_ends_unless_it_is_renewed_in_time() -> None:
    time = Moved()
    renewed = session(time)
    assert not renewed.open
    assert renewed.handshake("PLAIN", raw=False)
    assert renewed.authenticate(b"\0alice\0a") == (b"", 1000)
    time.now = 0.9
    assert renewed.open
    renewed.handshake("PLAIN", raw=False)
    renewed.authenticate(b"\0alice\0a")
    time.now = 1.8
    assert renewed.open
    time.now = 2.0
    assert not renewed.open


def test_a_session_is_renewed_by_the_same_user_and_mechanism_only() -> None:
    changed = session(Moved())
    changed.handshake("PLAIN", raw=False)
    changed.authenticate(b"\0alice\0a")
    changed.handshake("PLAIN", raw=False)
    with pytest.raises(AuthenticationFailed, match="Cannot change principals"):
        changed.authenticate(b"\0bob\0b")
    assert changed.failed is not None
    assert not changed.handshake("OTHER", raw=False)
