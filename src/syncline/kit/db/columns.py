"""Column types that hold what Kafka Connect's JDBC sink writes, so that sink and service share a table."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from sqlalchemy import DateTime, Dialect
from sqlalchemy.types import TypeDecorator, TypeEngine, UserDefinedType

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class Moment(TypeDecorator[datetime]):
    """An aware `datetime` in milliseconds, stored in UTC.

    DATETIME(3) on MariaDB and MySQL, TIMESTAMP(3) on PostgreSQL, and milliseconds since the epoch on
    SQLite, as the sink stores a Timestamp (spec/jdbc.md, 2.5); ISO text is read there, too.
    """

    impl = DateTime
    cache_ok = True

    def load_dialect_impl(self, dialect: Dialect) -> TypeEngine[Any]:
        # Imported where they are needed: a service has one database, and pays for the others with each start.
        if dialect.name == "sqlite":
            return dialect.type_descriptor(_Milliseconds())
        if dialect.name == "postgresql":
            from sqlalchemy.dialects.postgresql import TIMESTAMP

            return dialect.type_descriptor(TIMESTAMP(precision=3))
        from sqlalchemy.dialects.mysql import DATETIME

        return dialect.type_descriptor(DATETIME(fsp=3))

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> Any:
        if value is None:
            return None
        if value.tzinfo is None:
            raise ValueError(f"{value} has no time zone")
        milliseconds = (value - _EPOCH) // timedelta(milliseconds=1)
        if dialect.name == "sqlite":
            return milliseconds
        return (_EPOCH + timedelta(milliseconds=milliseconds)).replace(tzinfo=None)

    def process_result_value(self, value: Any, dialect: Dialect) -> datetime | None:
        if value is None:
            return None
        if isinstance(value, int | float):
            return _EPOCH + timedelta(milliseconds=int(value))
        moment: datetime = datetime.fromisoformat(value) if isinstance(value, str) else value
        return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)


class _Milliseconds(UserDefinedType[int]):
    """SQLite keeps any value in any column; the declared type tells readers that it is a moment."""

    cache_ok = True

    def get_col_spec(self, **_: Any) -> str:
        return "TIMESTAMP"
