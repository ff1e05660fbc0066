"""Writing through SQLAlchemy Core: statements any database understands."""

from __future__ import annotations

import datetime
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from syncline.connectors.jdbc.bound import BindAs, Bound, bind_kind
from syncline.connectors.jdbc.dialect import Operation, RowWriter, Target, Write
from syncline.connectors.jdbc.tables import Column, Kind, Table, TableId
from syncline.data import DATE, TIME, Schema, Type
from syncline.data.logical import decimal_scale

if TYPE_CHECKING:
    import sqlalchemy
    from sqlalchemy.engine.interfaces import Dialect as SqlDialect
    from sqlalchemy.types import TypeEngine

DIGITS = 38
"""Of a decimal column: what Oracle, SQL Server and Db2 can hold, or nearly."""


def column_type(sql: SqlDialect, schema: Schema, *, longest: int | None) -> str:
    """The type of a new column, a text in a key of at most `longest` characters; LookupError when there is none."""
    from sqlalchemy.exc import CompileError

    try:
        return _type(schema, longest).compile(dialect=sql)
    except CompileError as exc:
        raise LookupError(schema.type) from exc


def epoch_type(sql: SqlDialect) -> str:
    """The type for timestamps."""
    return _timestamp().compile(dialect=sql)


def _type(schema: Schema, longest: int | None) -> TypeEngine[Any]:
    import sqlalchemy as sa

    kind = bind_kind(schema)
    if kind is BindAs.MOMENT:
        return sa.Date() if schema.name == DATE else sa.Time() if schema.name == TIME else _timestamp()
    if kind is BindAs.DECIMAL:
        return sa.Numeric(DIGITS, decimal_scale(schema))
    if kind is BindAs.TEXT and longest is not None:
        return sa.String(longest)
    types: Mapping[Type, TypeEngine[Any]] = {
        Type.INT8: sa.SmallInteger(),
        Type.INT16: sa.SmallInteger(),
        Type.INT32: sa.Integer(),
        Type.INT64: sa.BigInteger(),
        Type.FLOAT32: sa.REAL(),
        Type.FLOAT64: sa.Double(),
        Type.BOOLEAN: sa.Boolean(),
        Type.STRING: sa.Text(),
        Type.BYTES: sa.LargeBinary(),
    }
    return types[schema.type]


def _timestamp() -> TypeEngine[Any]:
    import sqlalchemy as sa
    from sqlalchemy.dialects import mssql, oracle

    # SQL Server's TIMESTAMP is a counter and its DATETIME loses milliseconds; Oracle's DATE ends at seconds.
    variants: tuple[tuple[str, Any], ...] = (("mssql", mssql.DATETIME2), ("oracle", oracle.TIMESTAMP))
    kind: TypeEngine[Any] = sa.DateTime()
    for name, variant in variants:
        kind = kind.with_variant(variant(), name)
    return kind


class GenericRows(RowWriter):
    """Writes on one connection."""

    def __init__(self, connection: sqlalchemy.Connection) -> None:
        self._connection = connection
        self._known: dict[TableId, sqlalchemy.Table] = {}
        self._nested: Any = None

    def execute(self, sql: str) -> None:
        self._connection.exec_driver_sql(sql)

    def savepoint(self) -> None:
        self._nested = self._connection.begin_nested()

    def release(self) -> None:
        self._nested.commit()

    def undo(self) -> None:
        self._nested.rollback()

    def table(self, table: TableId) -> Table | None:
        import sqlalchemy as sa

        inspector = sa.inspect(self._connection)
        try:
            found = sa.Table(table.name, sa.MetaData(), schema=table.schema, autoload_with=self._connection)
        except sa.exc.NoSuchTableError:
            return None
        self._known[table] = found
        return Table(
            table,
            Kind.VIEW if table.name in inspector.get_view_names(table.schema) else Kind.TABLE,
            tuple(
                Column(
                    column.name,
                    str(column.type).lower(),
                    bool(column.nullable),
                    column.primary_key,
                    bool(getattr(column.type, "timezone", False)),
                )
                for column in found.columns
            ),
        )

    def prepare(self, operation: Operation, target: Target) -> Write:
        table = self._known[target.table.id]
        names = target.keys if operation is Operation.DELETE else (*target.keys, *target.others)
        converters = [_converter(table.c[name]) for name in names]
        run = self._runner(operation, target, table)

        def write(columns: Sequence[Bound]) -> None:
            cells = [
                [None if value is None else convert(value) for value in column.values]
                for convert, column in zip(converters, columns, strict=True)
            ]
            # A prefix of our own, because SQLAlchemy keeps the columns' names for itself.
            marks = [f"p{number}" for number in range(len(names))]
            run([dict(zip(marks, row, strict=True)) for row in zip(*cells, strict=True)])

        return write

    def _runner(
        self, operation: Operation, target: Target, table: sqlalchemy.Table
    ) -> Callable[[list[dict[str, Any]]], None]:
        import sqlalchemy as sa

        names = (*target.keys, *target.others)
        marks: dict[str, Any] = {name: sa.bindparam(f"p{number}") for number, name in enumerate(names)}
        same = sa.and_(sa.true(), *(table.c[key] == marks[key] for key in target.keys))
        if operation is Operation.DELETE:
            delete = table.delete().where(same)
            return lambda rows: self._all(delete, rows)
        insert = table.insert().values({table.c[name]: mark for name, mark in marks.items()})
        if operation is Operation.INSERT:
            return lambda rows: self._all(insert, rows)
        wanted = same
        if target.version is not None:
            mine = table.c[target.version]
            wanted = sa.and_(same, sa.or_(mine.is_(None), mine <= marks[target.version]))
        update = table.update().where(wanted).values({table.c[name]: marks[name] for name in target.others})
        if operation is Operation.UPDATE:
            return lambda rows: self._all(update, rows)
        there = sa.select(sa.literal(1)).select_from(table).where(same)
        return lambda rows: self._upsert(there, update if target.others else None, insert, rows)

    def _all(self, statement: Any, rows: list[dict[str, Any]]) -> None:
        self._connection.execute(statement, rows)

    def _upsert(self, there: Any, update: Any, insert: Any, rows: list[dict[str, Any]]) -> None:
        """No upsert is known everywhere; and the count of updated rows means different things."""
        for row in rows:
            if self._connection.execute(there, row).first() is None:
                self._connection.execute(insert, row)
            elif update is not None:
                self._connection.execute(update, row)


def _converter(column: sqlalchemy.Column[Any]) -> Callable[[Any], Any]:
    """From the text of dates and times to what drivers take."""
    import sqlalchemy as sa

    kind = column.type
    if isinstance(kind, sa.DateTime):
        zone = datetime.UTC if kind.timezone else None
        return lambda value: (
            datetime.datetime.fromisoformat(value).replace(tzinfo=zone) if isinstance(value, str) else value
        )
    if isinstance(kind, sa.Date):
        return lambda value: datetime.date.fromisoformat(value) if isinstance(value, str) else value
    if isinstance(kind, sa.Time):
        return lambda value: datetime.time.fromisoformat(value) if isinstance(value, str) else value
    return lambda value: value
