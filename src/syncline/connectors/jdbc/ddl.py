"""From a record's columns to CREATE and ALTER TABLE (spec/jdbc.md 2.5). Pure."""

from __future__ import annotations

from collections.abc import Sequence

from syncline.connectors.jdbc.binding import Binder
from syncline.connectors.jdbc.dialect import Dialect
from syncline.connectors.jdbc.fields import FieldColumn, Fields
from syncline.connectors.jdbc.tables import Kind, Table, TableId
from syncline.errors import ConnectError


class TableAlterOrCreateError(ConnectError):
    """The table does not fit the records and may or can not be changed."""

    java_class = "io.confluent.connect.jdbc.sink.TableAlterOrCreateException"


def create(
    dialect: Dialect, binder: Binder, table: TableId, fields: Fields, *, quoting: bool, options: str = ""
) -> str:
    """CREATE TABLE for a table that is missing; `options` follow the closing bracket."""
    parts = [column_clause(dialect, binder, column, quoting=quoting) for column in fields.ddl_order]
    keys = [dialect.quote(column.name, quoting=quoting) for column in fields.ddl_order if column.key]
    if keys:
        parts.append(f"PRIMARY KEY({','.join(keys)})")
    body = ",\n".join(parts)
    return f"CREATE TABLE {dialect.qualified(table, quoting=quoting)} (\n{body}){options}"


def alter(
    dialect: Dialect, binder: Binder, table: TableId, missing: Sequence[FieldColumn], *, quoting: bool
) -> list[str]:
    """ALTER TABLE for columns that are missing, in the records' order."""
    name = dialect.qualified(table, quoting=quoting)
    adds = [f"ADD {column_clause(dialect, binder, column, quoting=quoting)}" for column in missing]
    if len(adds) == 1 or not dialect.capabilities.adds_many:
        return [f"ALTER TABLE {name} {add}" for add in adds]
    return [f"ALTER TABLE {name}\n" + ",\n".join(adds)]


def column_clause(dialect: Dialect, binder: Binder, column: FieldColumn, *, quoting: bool) -> str:
    """`name TYPE NULL`, as CREATE and ALTER write it."""
    clause = f"{dialect.quote(column.name, quoting=quoting)} {binder.column_type(column)}"
    default = binder.default_literal(column)
    if default is not None:
        return f"{clause} DEFAULT {default}{' NOT NULL' if column.key else ''}"
    return f"{clause} {'NULL' if column.schema.optional and not column.key else 'NOT NULL'}"


def check_alterable(table: Table, missing: Sequence[FieldColumn], *, evolve: bool) -> None:
    """TableAlterOrCreateError when columns that are missing may not be added."""
    if not missing:
        return
    names = ", ".join(column.name for column in missing)
    kind = table.kind.value
    title = kind.capitalize()
    if table.kind is not Kind.TABLE:
        raise TableAlterOrCreateError(f"{title} {table.id} is missing fields ({names}) and ALTER {kind} is unsupported")
    for column in missing:
        if column.schema.required:
            raise TableAlterOrCreateError(
                f"Cannot ALTER {kind} {table.id} to add missing field {column.name}, as the field is not optional and "
                "does not have a default value"
            )
    if not evolve:
        raise TableAlterOrCreateError(f"{title} {table.id} is missing fields ({names}) and auto-evolution is disabled")
