"""Everything Syncline raises.

    SynclineError
    + ConfigError            the user can fix it; holds every message per option
    + RequestError           a REST caller asked for something that cannot be done
    | + BadRequest           the request itself is wrong
    | + Forbidden            the worker's configuration does not let anybody do that
    | + NotFound             no such connector, task, plugin, logger
    | + AlreadyExists        a connector of that name is there already
    | + Conflict             right now another operation is in the way; try again
    + ConnectError           a connector, converter or task failed
      + DataError            this record is bad, the next may be fine
      + RetriableError       the outside system refused and may accept later
      + SqlError             a database refused; carries SQLSTATE and the vendor's code

Each class names the Java class that Apache Kafka Connect would have shown, because traces and
dead-letter headers carry it and tools match on it.
"""

from __future__ import annotations

import traceback
from collections.abc import Mapping, Sequence
from typing import ClassVar


class SynclineError(Exception):
    """Base of all errors raised on purpose."""

    java_class: ClassVar[str] = "org.apache.kafka.common.KafkaException"


class ConfigError(SynclineError):
    """A configuration cannot be used; `errors` maps each option to its messages, in order."""

    java_class = "org.apache.kafka.common.config.ConfigException"

    def __init__(self, errors: Mapping[str, Sequence[str]] | str) -> None:
        self.errors: dict[str, list[str]] = (
            {"": [errors]} if isinstance(errors, str) else {name: list(texts) for name, texts in errors.items()}
        )
        super().__init__("\n".join(text for texts in self.errors.values() for text in texts))


class RequestError(SynclineError):
    """A request that cannot be served; the REST edge maps subclasses to status codes."""

    java_class = "org.apache.kafka.connect.errors.ConnectException"


class BadRequest(RequestError):
    """The request is wrong in itself."""

    java_class = "org.apache.kafka.connect.runtime.rest.errors.BadRequestException"


class Forbidden(RequestError):
    """The worker's configuration has this switched off."""

    java_class = "org.apache.kafka.connect.runtime.rest.errors.ConnectRestException"


class NotFound(RequestError):
    """The thing asked for does not exist."""

    java_class = "org.apache.kafka.connect.errors.NotFoundException"


class AlreadyExists(RequestError):
    """The thing to be created exists."""

    java_class = "org.apache.kafka.connect.errors.AlreadyExistsException"


class Conflict(RequestError):
    """Another operation is in the way; the same request may succeed later."""

    java_class = "org.apache.kafka.connect.runtime.rest.errors.ConnectRestException"


class ConnectError(SynclineError):
    """A connector, converter, transform or task failed."""

    java_class = "org.apache.kafka.connect.errors.ConnectException"


class DataError(ConnectError):
    """One record cannot be converted or bound; others may be fine."""

    java_class = "org.apache.kafka.connect.errors.DataException"


class RetriableError(ConnectError):
    """The operation failed for now; calling again with the same input may succeed."""

    java_class = "org.apache.kafka.connect.errors.RetriableException"


class SqlError(ConnectError):
    """A database refused a statement.

    `state` is the SQLSTATE (five characters) or None, `code` the vendor's own number or None.
    The text never holds connection passwords.
    """

    java_class = "java.sql.SQLException"

    def __init__(self, message: str, *, state: str | None = None, code: int | None = None) -> None:
        super().__init__(message)
        self.state = state
        self.code = code


def java_class_of(error: BaseException) -> str:
    """The Java class name shown for `error`: its own, or the nearest for a Python error."""
    if isinstance(error, SqlError) and (error.state or "").startswith("28"):
        # What JDBC has for an account that is not let in.
        return "java.sql.SQLInvalidAuthorizationSpecException"
    if isinstance(error, SynclineError):
        return error.java_class
    for kind, name in _PYTHON_TO_JAVA:
        if isinstance(error, kind):
            return name
    return "java.lang.RuntimeException"


_PYTHON_TO_JAVA: tuple[tuple[type[BaseException], str], ...] = (
    (KeyError, "java.util.NoSuchElementException"),
    (ValueError, "java.lang.IllegalArgumentException"),
    (TypeError, "java.lang.ClassCastException"),
    (NotImplementedError, "java.lang.UnsupportedOperationException"),
    (TimeoutError, "java.util.concurrent.TimeoutException"),
    (OSError, "java.io.IOException"),
)


def trace_of(error: BaseException) -> str:
    """A Java-shaped stack trace: `class: message`, then frames, then `Caused by:` for each cause.

    kcctl and Kafka UI format by the first line and the `Caused by:` lines (spec/connect.md 5.1).
    """
    lines: list[str] = []
    current: BaseException | None = error
    seen: set[int] = set()
    while current is not None and id(current) not in seen:
        seen.add(id(current))
        head = f"{java_class_of(current)}: {current}" if str(current) else java_class_of(current)
        lines.append(f"Caused by: {head}" if lines else head)
        for frame in reversed(traceback.extract_tb(current.__traceback__)):
            module = frame.filename.rpartition("/")[2]
            lines.append(f"\tat {frame.name}({module}:{frame.lineno})")
        current = current.__cause__ or (None if current.__suppress_context__ else current.__context__)
    return "\n".join(lines) + "\n"
