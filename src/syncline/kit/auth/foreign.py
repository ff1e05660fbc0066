"""Is a token of another service genuine, meant for us, and still good? Its keys are fetched and kept.

A token names its key. One that names a key nobody knows makes us ask for the keys again, but not more
often than every few seconds: made-up names must not become requests. Keys that cannot be renewed stay
good, because a signature does not become wrong while the issuer is away.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Mapping
from typing import Any, Final

import jwt
import structlog

from syncline.clock import SYSTEM_CLOCK, Clock
from syncline.kit.auth.tokens import Claims, bearer, unauthorized
from syncline.kit.errors import Unavailable
from syncline.kit.http.client import ServiceClient
from syncline.kit.problems import Problem

log = structlog.get_logger(__name__)

JWKS_PATH: Final = "/.well-known/jwks.json"
ALGORITHMS: Final = ("EdDSA", "RS256", "ES256")
"""Only signatures with a public key: with HS256 allowed, that key would pass for a shared secret."""
KEYS_SECONDS: Final = 300
"""After this the keys are asked for again, so that a withdrawn one ends being good."""
ASK_AGAIN_SECONDS: Final = 5
AFTER_FAILURE_SECONDS: Final = 1


class ForeignTokens:
    """Checks tokens of another service. Not for several threads."""

    def __init__(
        self,
        issuing: ServiceClient,
        *,
        issuer: str,
        audience: str,
        leeway_seconds: float = 5,
        clock: Clock = SYSTEM_CLOCK,
    ) -> None:
        self._issuing = issuing
        self._issuer = issuer
        self._audience = audience
        self._leeway_seconds = leeway_seconds
        self._clock = clock
        self._keys: dict[str, jwt.PyJWK] = {}
        self._failed = False
        """The last time."""
        self._ask_from = self._stale_from = -math.inf
        self._asking = asyncio.Lock()

    async def check(self, authorization: str | None) -> Claims:
        """The claims of the token in a header `Authorization`.

        A Problem with 401 if there is none that is good, with 503 if nobody can tell.
        """
        return Claims.of(await self._claims(bearer(authorization)))

    async def _claims(self, token: str) -> Mapping[str, Any]:
        try:
            header = jwt.get_unverified_header(token)
            if header.get("alg") not in ALGORITHMS:
                raise jwt.InvalidAlgorithmError("its algorithm is not allowed")
            key = await self._key(str(header.get("kid", "")))
            claims: Mapping[str, Any] = jwt.decode(
                token,
                key,
                # The key's own: a token must not choose another way to use it.
                algorithms=[name for name in ALGORITHMS if name == key.algorithm_name],
                issuer=self._issuer,
                audience=self._audience,
                leeway=self._leeway_seconds,
                options={"require": ["exp", "iss", "aud", "sub"]},
            )
        except jwt.ExpiredSignatureError as exc:
            raise unauthorized("the token has expired: sign in again", error="invalid_token") from exc
        except jwt.PyJWTError as exc:
            log.info("token refused", reason=str(exc))
            raise unauthorized("the token is not valid here", error="invalid_token") from exc
        return claims

    async def _key(self, name: str) -> jwt.PyJWK:
        """The key of this name. InvalidKeyError if there is none; a Problem with 503 if nobody can tell."""
        if self._should_ask(name):
            async with self._asking:
                # Those who waited for the lock find what the first one has fetched.
                if self._should_ask(name):
                    await self._fetch()
        if name in self._keys:
            return self._keys[name]
        if self._failed:
            detail = "tokens cannot be checked now; try again later"
            raise Problem(503, "KEYS_UNAVAILABLE", detail, headers={"Retry-After": "1"})
        raise jwt.InvalidKeyError(f"no key has the name {name!r}")

    def _should_ask(self, name: str) -> bool:
        now = self._clock.monotonic()
        return now >= self._ask_from and (name not in self._keys or now >= self._stale_from)

    async def _fetch(self) -> None:
        try:
            answer = await self._issuing.get(JWKS_PATH)
            if not answer.is_success:
                raise ValueError(f"{JWKS_PATH} was answered with {answer.status_code}")
            self._keys = _read(answer.json())
        except (Unavailable, ValueError) as exc:
            log.warning("no keys", reason=str(exc))
            self._failed = True
            self._ask_from = self._clock.monotonic() + AFTER_FAILURE_SECONDS
        else:
            self._failed = False
            self._ask_from = self._clock.monotonic() + ASK_AGAIN_SECONDS
            self._stale_from = self._clock.monotonic() + KEYS_SECONDS


def _read(document: Any) -> dict[str, jwt.PyJWK]:
    """Keys by name, those only that sign and whose algorithm is allowed."""
    if not isinstance(document, dict) or not isinstance(document.get("keys"), list):
        raise ValueError("this is no set of keys (RFC 7517)")
    found = {}
    for described in document["keys"]:
        if not isinstance(described, dict) or described.get("use", "sig") != "sig":
            continue
        try:
            key = jwt.PyJWK(described)
        except jwt.PyJWTError as exc:
            # One key that this library does not know must not take the others away.
            log.warning("key skipped", kid=described.get("kid"), reason=str(exc))
            continue
        if key.algorithm_name in ALGORITHMS:
            found[str(described.get("kid", ""))] = key
    return found
