"""What a service's surroundings can do to it; each becomes an answer with status 503, or 504 for lost time."""

from __future__ import annotations

from typing import ClassVar

from syncline.errors import SynclineError


class Unavailable(SynclineError):
    """Something the service needs does not answer; the same request may succeed later.

    The text is for the log and may name hosts; callers are told `public` and `code` only.
    """

    status: ClassVar[int] = 503
    code: ClassVar[str] = "UNAVAILABLE"
    public: ClassVar[str] = "something this service needs does not answer; try again later"


class DatabaseUnavailable(Unavailable):
    """No connection, a lost one, a full disk, or a transaction that lost against others; nothing of it is kept."""

    code = "DATABASE_UNAVAILABLE"
    public = "the database does not answer; try again later"


class BrokerUnavailable(Unavailable):
    """The broker did not confirm the record in time."""

    code = "BROKER_UNAVAILABLE"
    public = "the broker did not confirm in time; try again later"


class ServiceUnavailable(Unavailable):
    """No instance of another service can be reached, or the one that was asked broke off."""

    code = "SERVICE_UNAVAILABLE"
    public = "a service this one needs does not answer; try again later"


class NoInstance(ServiceUnavailable):
    """Nobody has the request: no instance is known, or none can be connected to."""

    code = "NO_INSTANCE"


class BrokenOff(ServiceUnavailable):
    """An instance closed the connection without an answer; whether it did the work is unknown."""


class DeadlineExceeded(Unavailable):
    """The time that the caller allows is over; whether the work was done is unknown."""

    status = 504
    code = "TIMEOUT"
    public = "a service this one needs did not answer in time; whether it did the work is unknown"
