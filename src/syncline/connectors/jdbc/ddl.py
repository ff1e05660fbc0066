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


def create(dialect: Dialect, binder: Binder, table: TableId, fields: Fields, *, quoting: bool) -> str:
    """CREATE TABLE for a table that is missing."""
    columns = [fields.column(name) for name in fields.ddl_order]
    parts = [column_clause(dialect, binder, column, quoting=quoting) for column in columns]
    keys = [column for column in columns if column.key]
    if keys:
        parts.append(f"PRIMARY KEY({','.join(dialect.quote(k.name, quoting=quoting) for k in keys)})")
    body = ",\n".join(parts)
    return f"CREATE TABLE {dialect.qualified(table, quoting=quoting)} (\n{body})"


def alter(
    dialect: Dialect, binder: Binder, table: TableId, missing: Sequence[FieldColumn], *, quoting: bool
) -> list[str]:
    """ALTER TABLE for columns that are missing, in the records' order."""
    name = dialect.qualified(table, quoting=quoting)
    adds = [f"ADD {column_clause(dialect, binder, column, quoting=quoting)}" for column in missing]
    if dialect.one_add_per_alter:
        return [f"ALTER TABLE {name} {add}" for add in adds]
    separator = " " if len(adds) == 1 else "\n"
    return [f"ALTER TABLE {name}{separator}{f',{chr(10)}'.join(adds)}"]


def column_clause(dialect: Dialect, binder: Binder, column: FieldColumn, *, quoting: bool) -> str:
    """`name TYPE NULL`, as CREATE and ALTER write it."""
    schema = column.schema
    try:
        kind = binder.column_type(dialect, column)
        default = binder.default_literal(dialect, column)
    except LookupError:
        raise ConnectError(
            f"{schema.name or column.name} ({schema.type}) type doesn't have a mapping to the SQL database column type"
        ) from None
    clause = f"{dialect.quote(column.name, quoting=quoting)} {kind}"
    if column.key:
        return f"{clause} NOT NULL"
    if default is not None:
        return f"{clause} DEFAULT {default}"
    return f"{clause} {'NULL' if schema.optional else 'NOT NULL'}"


def check_alterable(table: Table, missing: Sequence[FieldColumn], *, evolve: bool) -> None:
    """TableAlterOrCreateError when missing columns may not be added."""
    if not missing:
        return
    names = ", ".join(column.name for column in missing)
    title = "Table" if table.kind is not Kind.VIEW else "View"
    if table.kind is not Kind.TABLE:
        kind = table.kind.value
        raise TableAlterOrCreateError(f"{title} {table.id} is missing fields ({names}) and ALTER {kind} is unsupported")
    for column in missing:
        if not column.schema.optional and column.schema.default is None:
            raise TableAlterOrCreateError(
                f"Cannot ALTER TABLE {table.id} to add missing field {column.name}, as the field is not optional and "
                "does not have a default value"
            )
    if not evolve:
        raise TableAlterOrCreateError(f"{title} {table.id} is missing fields ({names}) and auto-evolution is disabled")
