"""Who a client is: SASL's PLAIN (RFC 4616) and SCRAM (RFC 5802, 7677), and one connection's way through them.

Pure: tokens in, tokens out. Handshake, raw tokens and renewal follow KIP-43, KIP-152 and KIP-368.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import re
import secrets
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final, Protocol

from syncline.broker.errors import BrokerError

PLAIN: Final = "PLAIN"
SCRAM: Final[Mapping[str, str]] = {"SCRAM-SHA-256": "sha256", "SCRAM-SHA-512": "sha512"}
"""Mechanism to hash function."""
MECHANISMS: Final = (PLAIN, *SCRAM)


class AuthenticationFailed(Exception):
    """The client is not who it says. The text is for the client and gives nothing away; `detail` is for the log."""

    def __init__(self, message: str, detail: str) -> None:
        super().__init__(message)
        self.detail = detail


class Exchange(Protocol):
    """One attempt to prove an identity."""

    @property
    def user(self) -> str | None:
        """Who it is, once that is proved."""
        ...

    def respond(self, token: bytes) -> bytes:
        """The answer to a client's token; AuthenticationFailed ends the attempt."""
        ...


Mechanism = Callable[[], Exchange]
"""Begins an exchange."""


# -- PLAIN ---------------------------------------------------------------------------------------


class Plain:
    """User and password in the clear; only fit for TLS or one machine."""

    def __init__(self, passwords: Mapping[str, str]) -> None:
        self._passwords = passwords
        self.user: str | None = None

    def respond(self, token: bytes) -> bytes:
        try:
            parts = token.decode().split("\0")
        except UnicodeDecodeError as exc:
            raise AuthenticationFailed("Invalid SASL/PLAIN response: not UTF-8", "a token that is not UTF-8") from exc
        if len(parts) != 3:
            message = f"Invalid SASL/PLAIN response: expected 3 tokens, got {len(parts)}"
            raise AuthenticationFailed(message, message)
        authorization, user, password = parts
        for name, text in (("username", user), ("password", password)):
            if not text:
                raise AuthenticationFailed(f"Authentication failed: {name} not specified", f"no {name}")
        known = self._passwords.get(user)
        matches = hmac.compare_digest((known or "").encode(), password.encode())
        if known is None or not matches:
            why = "wrong password" if known is not None else "unknown user"
            raise AuthenticationFailed("Authentication failed: Invalid username or password", f"{why} of {user!r}")
        if authorization and authorization != user:
            raise AuthenticationFailed(
                "Authentication failed: Client requested an authorization id that is different from username",
                f"user {user!r} asks to act as {authorization!r}",
            )
        self.user = user
        return b""


_JAAS_OPTION: Final = re.compile(r"""([\w.-]+)\s*=\s*(?:"((?:[^"\\]|\\.)*)"|'((?:[^'\\]|\\.)*)'|([^\s;"']+))""")
_JAAS: Final = re.compile(r"\s*([\w.$]+)\s+(required|requisite|sufficient|optional)\b(.*);\s*", re.DOTALL)


def plain_passwords(text: str, key: str) -> dict[str, str]:
    """User to password of a PlainLoginModule's entry (`user_alice="..."`); BrokerError, which shows no password."""
    found = _JAAS.fullmatch(text)
    if found is None or not found[1].endswith("PlainLoginModule"):
        raise BrokerError(
            f"{key} is not of the form "
            'org.apache.kafka.common.security.plain.PlainLoginModule required user_NAME="PASSWORD" ...;'
        )
    users = {}
    for option in _JAAS_OPTION.finditer(found[3]):
        if option[1].startswith("user_"):
            value = next(part for part in option.groups()[1:] if part is not None)
            users[option[1].removeprefix("user_")] = re.sub(r"\\(.)", r"\1", value)
    return users


# -- SCRAM ---------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class ScramCredential:
    """What the server keeps of a password: enough to check it, not enough to use it elsewhere."""

    salt: bytes
    iterations: int
    stored_key: bytes
    server_key: bytes

    @classmethod
    def of(cls, mechanism: str, salt: bytes, iterations: int, salted_password: bytes) -> ScramCredential:
        """From the salted password a client sends (KIP-554)."""
        digest = SCRAM[mechanism]
        client_key = hmac.digest(salted_password, b"Client Key", digest)
        return cls(salt, iterations, _hash(digest, client_key), hmac.digest(salted_password, b"Server Key", digest))


def _hash(digest: str, data: bytes) -> bytes:
    return hashlib.new(digest, data).digest()


class Scram:
    """Password proved by both sides without sending it."""

    def __init__(self, mechanism: str, credential: Callable[[str], ScramCredential | None]) -> None:
        self.user: str | None = None
        self._mechanism = mechanism
        self._digest = SCRAM[mechanism]
        self._credential = credential
        self._claimed = ""
        self._known: ScramCredential | None = None
        self._nonce = ""
        self._said = ""
        """Both first messages, as the proofs sign them."""

    def respond(self, token: bytes) -> bytes:
        try:
            text = token.decode()
        except UnicodeDecodeError as exc:
            raise self._failed("a message that is not UTF-8") from exc
        return self._first(text) if self._known is None else self._final(text, self._known)

    def _first(self, text: str) -> bytes:
        # gs2-header: no channel binding ("n" or "y"), and perhaps whom to act as; then the bare message.
        found = re.fullmatch(r"[ny],(?:a=([^,]*))?,((?:m=[^,]*,)?n=([^,]+),r=([!-+\--~]+)(?:,.*)?)", text)
        if found is None:
            raise self._failed("a first message that SCRAM does not allow")
        self._claimed = found[3].replace("=2C", ",").replace("=3D", "=")
        if found[1] and found[1] != found[3]:
            raise self._failed(f"user {self._claimed!r} asks to act as another")
        self._known = self._credential(self._claimed)
        if self._known is None:
            raise self._failed(f"{self._claimed!r} has no {self._mechanism} credential")
        self._nonce = found[4] + secrets.token_urlsafe(24)
        answer = f"r={self._nonce},s={base64.b64encode(self._known.salt).decode()},i={self._known.iterations}"
        self._said = f"{found[2]},{answer}"
        return answer.encode()

    def _final(self, text: str, known: ScramCredential) -> bytes:
        found = re.fullmatch(r"(c=([^,]+),r=([^,]+)(?:,[^p].*)?),p=([^,]+)", text)
        if found is None or found[3] != self._nonce:
            raise self._failed("a final message that does not continue the first")
        signed = f"{self._said},{found[1]}".encode()
        try:
            header, proof = base64.b64decode(found[2], validate=True), base64.b64decode(found[4], validate=True)
        except binascii.Error as exc:
            raise self._failed("a final message that is not base 64") from exc
        signature = hmac.digest(known.stored_key, signed, self._digest)
        if len(proof) != len(signature) or not header.startswith((b"n,", b"y,")):
            raise self._failed("a final message that SCRAM does not allow")
        client_key = bytes(a ^ b for a, b in zip(proof, signature, strict=True))
        if not hmac.compare_digest(_hash(self._digest, client_key), known.stored_key):
            raise self._failed(f"wrong password of {self._claimed!r}")
        self.user = self._claimed
        return b"v=" + base64.b64encode(hmac.digest(known.server_key, signed, self._digest))

    def _failed(self, detail: str) -> AuthenticationFailed:
        return AuthenticationFailed(
            "Authentication failed during authentication due to invalid credentials with SASL mechanism "
            f"{self._mechanism}",
            detail,
        )


# -- one connection --------------------------------------------------------------------------------


class Session:
    """How far a connection is in proving who it belongs to.

    `failed` says, for the log, why it must be closed. After `connections.max.reauth.ms` the client must prove itself
    again, as the same user and by the same mechanism.
    """

    def __init__(
        self, mechanisms: Mapping[str, Mechanism], lifetime_ms: int, now: Callable[[], float] = time.monotonic
    ) -> None:
        self.mechanisms = mechanisms
        self.user: str | None = None
        self.failed: str | None = None
        self.raw = False
        """Whether frames are bare tokens now, as before KIP-152."""
        self._lifetime_ms = lifetime_ms
        self._now = now
        self._expires: float | None = None
        self._mechanism = ""
        self._exchange: Exchange | None = None

    @property
    def open(self) -> bool:
        """Whether any request may be made."""
        return self.user is not None and (self._expires is None or self._now() < self._expires)

    def handshake(self, mechanism: str, *, raw: bool) -> bool:
        """Choose a mechanism; False when it is not served here."""
        if mechanism not in self.mechanisms:
            self.failed = f"SASL mechanism {mechanism!r} is not enabled here, only {', '.join(self.mechanisms)}"
            return False
        if self.user is not None and mechanism != self._mechanism:
            self.failed = f"authenticated by {self._mechanism}, cannot go on with {mechanism}"
            return False
        self._mechanism = mechanism
        self._exchange = self.mechanisms[mechanism]()
        self.raw = raw
        return True

    def authenticate(self, token: bytes) -> tuple[bytes, int]:
        """The answer to a token, and for how many milliseconds the session is good (0: for ever).

        AuthenticationFailed says what the client is told.
        """
        exchange = self._exchange
        try:
            if exchange is None:
                raise AuthenticationFailed("SaslAuthenticate before SaslHandshake", "no mechanism was chosen")
            answer = exchange.respond(token)
            if exchange.user is None:
                return answer, 0
            if self.user not in (None, exchange.user):
                raise AuthenticationFailed(
                    "Cannot change principals during re-authentication",
                    f"connection of {self.user!r} authenticates again as {exchange.user!r}",
                )
        except AuthenticationFailed as exc:
            self.failed = f"authentication by {self._mechanism or 'SASL'} failed: {exc.detail}"
            raise
        self.user = exchange.user
        self._exchange = None
        self.raw = False
        if self._lifetime_ms > 0:
            self._expires = self._now() + self._lifetime_ms / 1000
        return answer, self._lifetime_ms
