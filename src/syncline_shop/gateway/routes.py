"""Which request goes to which service, and what is done to it on the way; pure.

| Request                                            | Service         | Path          | Token          |
|----------------------------------------------------|-----------------|---------------|----------------|
| POST `/user-service/login`, `/users`, `/token/refresh` | user-service | prefix removed | none          |
| GET `/user-service/**`                             | user-service    | prefix removed | needed        |
| GET `/.well-known/jwks.json`                       | user-service    | kept          | none           |
| any `/catalog-service/**`, `/order-service/**`     | the first segment | kept        | if so configured |

Cookies do not reach user-service. What services tell operators (`metrics`, `actuator`) is not public.
Paths are compared as they were sent: a decoded %2F would mean one thing here and another one there.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass
from typing import Final

from syncline.kit.auth.foreign import JWKS_PATH

USER_SERVICE: Final = "user-service"

_FOR_OPERATORS: Final = ("actuator", "metrics")


@dataclass(frozen=True, slots=True, kw_only=True)
class Route:
    """The first one that matches decides."""

    service: str
    path: str
    """Exactly this, or with a slash at the end everything below it."""
    methods: frozenset[str] = frozenset()
    """None means every method."""
    strip: str = ""
    """Taken from the front of the path."""
    without: frozenset[bytes] = frozenset()
    """Headers of the request that the service does not get."""
    token: bool = False

    def matches(self, method: str, path: str) -> bool:
        """Whether this route is for the request; `path` as it was sent."""
        if self.methods and method not in self.methods:
            return False
        return path.startswith(self.path) if self.path.endswith("/") else path == self.path


_NO_COOKIES: Final = frozenset({b"cookie"})
_SIGN_IN: Final = tuple(
    Route(
        service=USER_SERVICE,
        path=f"/{USER_SERVICE}/{what}",
        methods=frozenset({"POST"}),
        strip=f"/{USER_SERVICE}",
        without=_NO_COOKIES,
    )
    for what in ("login", "users", "token/refresh")
)
_USERS: Final = Route(
    service=USER_SERVICE,
    path=f"/{USER_SERVICE}/",
    methods=frozenset({"GET", "HEAD"}),
    strip=f"/{USER_SERVICE}",
    without=_NO_COOKIES,
    token=True,
)
_KEYS: Final = Route(service=USER_SERVICE, path=JWKS_PATH, methods=frozenset({"GET", "HEAD"}), without=_NO_COOKIES)


def table(services: Iterable[str], token_services: Collection[str]) -> tuple[Route, ...]:
    """The routes, in order. `services` are further ones, whose paths begin with their name and are kept."""
    plain = dict.fromkeys(["catalog-service", "order-service", *services])
    plain.pop(USER_SERVICE, None)
    return (
        *_SIGN_IN,
        _USERS,
        _KEYS,
        *(Route(service=name, path=f"/{name}/", token=name in token_services) for name in plain),
    )


def find(routes: Iterable[Route], method: str, path: str) -> Route | None:
    """The route of a request; None if nobody is there for it."""
    segments = path.split("/")
    if len(segments) > 2 and segments[2] in _FOR_OPERATORS:
        return None
    return next((route for route in routes if route.matches(method, path)), None)
