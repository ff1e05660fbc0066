"""One table from errors to HTTP status (spec/connect.md 1.1), and the errors of the router itself."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from syncline.errors import AlreadyExists, BadRequest, ConfigError, Conflict, Forbidden, NotFound

STATUS: Final[Mapping[type[Exception], int]] = {
    BadRequest: 400,
    ConfigError: 400,
    Forbidden: 403,
    NotFound: 404,
    AlreadyExists: 409,
    Conflict: 409,
}


def status_of(error: Exception) -> int:
    """The status for an error; 500 for everything that the table does not name."""
    return next((status for kind, status in STATUS.items() if isinstance(error, kind)), 500)


class HttpError(Exception):
    """A request that the router itself refuses."""

    TEXTS: Final = {
        404: "HTTP 404 Not Found",
        405: "HTTP 405 Method Not Allowed",
        406: "HTTP 406 Not Acceptable",
        415: "HTTP 415 Unsupported Media Type",
    }

    def __init__(self, status: int, *, typed: bool = False) -> None:
        super().__init__(self.TEXTS[status])
        self.status = status
        self.typed = typed
        """Whether the answer says that it is JSON, which Kafka Connect's does in some cases only."""
