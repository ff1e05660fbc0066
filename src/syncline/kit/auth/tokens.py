"""Tokens (JWT): signed with one key, checked with its public half.

A token says who (`sub`), with which roles, from whom (`iss`), for whom (`aud`) and until when (`exp`).
"""

from __future__ import annotations

import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import jwt
import structlog

from syncline.clock import SYSTEM_CLOCK, Clock
from syncline.kit.auth.keys import ALGORITHM, SigningKey
from syncline.kit.problems import Problem

log = structlog.get_logger(__name__)

ADMIN: Final = "admin"
_REALM: Final = 'Bearer realm="syncline"'


@dataclass(frozen=True, slots=True, kw_only=True)
class Claims:
    """What a good token says."""

    subject: str
    roles: frozenset[str]

    @classmethod
    def of(cls, said: Mapping[str, Any]) -> Claims:
        """Those of a token that was checked; roles that are no list of text are none."""
        roles = said.get("roles")
        known = roles if isinstance(roles, list) else []
        return cls(subject=str(said["sub"]), roles=frozenset(role for role in known if isinstance(role, str)))

    def may_see(self, user_id: str) -> bool:
        """Whether this is the user, or an administrator."""
        return self.subject == user_id or ADMIN in self.roles


class Tokens:
    """Issues and checks the tokens of one key."""

    def __init__(
        self, key: SigningKey, *, issuer: str, audience: str, seconds: int, clock: Clock = SYSTEM_CLOCK
    ) -> None:
        self._key = key
        self._kid = key.kid
        self._issuer = issuer
        self._audience = audience
        self.seconds = seconds
        self._clock = clock

    def issue(self, subject: str, roles: Sequence[str] = ()) -> str:
        """A token that is good from now on for `seconds`."""
        now = self._clock.wall_ms() // 1000
        claims = {
            "sub": subject,
            "iss": self._issuer,
            "aud": self._audience,
            "iat": now,
            "exp": now + self.seconds,
            "jti": secrets.token_urlsafe(12),
            "roles": list(roles),
        }
        return jwt.encode(claims, self._key.private, ALGORITHM, {"kid": self._kid})

    def check(self, authorization: str) -> Claims:
        """The claims in a header `Authorization`; a Problem with 401 if there is no good token in it."""
        token = bearer(authorization)
        try:
            said = self._decoded(token)
        except jwt.ExpiredSignatureError as exc:
            raise unauthorized("the token has expired: sign in again", error="invalid_token") from exc
        except jwt.PyJWTError as exc:
            log.info("token refused", reason=str(exc))
            raise unauthorized("the token is not valid here", error="invalid_token") from exc
        return Claims.of(said)

    def _decoded(self, token: str) -> dict[str, Any]:
        said: dict[str, Any] = jwt.decode(
            token,
            self._key.public,
            # Fixed: a token that could choose would choose "none", or take the public key for a shared secret.
            algorithms=[ALGORITHM],
            issuer=self._issuer,
            audience=self._audience,
            options={"require": ["exp", "iss", "aud", "sub"], "verify_exp": False, "verify_iat": False},
        )
        # By our clock, which tests can move.
        if not isinstance(said["exp"], int) or self._clock.wall_ms() >= said["exp"] * 1000:
            raise jwt.ExpiredSignatureError("Signature has expired")
        return said


def bearer(authorization: str | None) -> str:
    """The token in a header `Authorization`; a Problem with 401 if there is none."""
    if not authorization:
        raise unauthorized("this address needs a token: send the header Authorization: Bearer <token>")
    scheme, _, token = authorization.strip().partition(" ")
    if scheme.lower() != "bearer" or not token.strip():
        raise unauthorized("the header Authorization must be: Bearer <token>", error="invalid_request")
    return token.strip()


def unauthorized(detail: str, *, error: str = "", code: str = "UNAUTHORIZED") -> Problem:
    """401 as RFC 6750 has it: without a token there is no error to name."""
    challenge = f'{_REALM}, error="{error}"' if error else _REALM
    return Problem(401, code, detail, headers={"WWW-Authenticate": challenge})
