"""What a service's surroundings can do to it; each becomes an answer with status 503."""

from __future__ import annotations

from typing import ClassVar

from syncline.errors import SynclineError


class Unavailable(SynclineError):
    """Something the service needs does not answer; the same request may succeed later.

    The text is for the log and may name hosts; callers are told `public` and `code` only.
    """

    code: ClassVar[str] = "UNAVAILABLE"
    public: ClassVar[str] = "something this service needs does not answer; try again later"


class DatabaseUnavailable(Unavailable):
    """No connection, a lost one, or a transaction that lost against others; nothing of the transaction is kept."""

    code = "DATABASE_UNAVAILABLE"
    public = "the database does not answer; try again later"


class BrokerUnavailable(Unavailable):
    """The broker did not confirm the record in time."""

    code = "BROKER_UNAVAILABLE"
    public = "the broker did not confirm in time; try again later"
