"""Inserting a row unless it is there, the same on every database."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sqlalchemy import Connection, Table, insert
from sqlalchemy.exc import IntegrityError


def insert_once(connection: Connection, table: Table, values: Mapping[str, Any]) -> bool:
    """Whether the row was inserted; False when one with the same key is there, which is left as it is.

    A transaction that is about to insert the same key makes this one wait for its end.
    """
    dialect = connection.dialect.name
    # An error would end a PostgreSQL transaction, and SQLite's driver knows no savepoint that comes first.
    # The dialects are imported here, for all of them together take a tenth of a service's start.
    if dialect == "postgresql":
        from sqlalchemy.dialects import postgresql

        inserting = postgresql.insert(table).values(values).on_conflict_do_nothing()
        # SQLAlchemy keeps no count of inserted rows here; a row that was there is not returned.
        return connection.execute(inserting.returning(*table.primary_key)).first() is not None
    if dialect == "sqlite":
        from sqlalchemy.dialects import sqlite

        return connection.execute(sqlite.insert(table).values(values).on_conflict_do_nothing()).rowcount == 1
    # INSERT IGNORE would hide other errors, too.
    try:
        with connection.begin_nested():
            connection.execute(insert(table).values(values))
    except IntegrityError as exc:
        if _DUPLICATE in (getattr(exc.orig, "errno", None), *(exc.orig.args[:1] if exc.orig else ())):
            return False
        raise
    return True


_DUPLICATE = 1062
"""MariaDB's and MySQL's number for a key that is there already."""
