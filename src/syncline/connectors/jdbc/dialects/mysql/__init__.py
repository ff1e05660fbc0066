"""MariaDB and MySQL, through MariaDB Connector/Python or, where that has no wheel, PyMySQL."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from decimal import Decimal
from typing import Any, Final

from syncline.connectors.jdbc.dialect import BindAs, Bound, Dialect, Refusal, Refused, Settings, bind_kind
from syncline.connectors.jdbc.tables import Column, Kind, Table, TableId
from syncline.data import DATE, DECIMAL, TIME, Schema, Type
from syncline.data.logical import decimal_scale
from syncline.errors import ConfigError

KEY_TEXT: Final = "VARCHAR(255)"
"""A TEXT key is refused by the server (error 1170); 255 utf8mb4 characters fit every row format."""
STATEMENT_BYTES: Final = 8 * 1024 * 1024
"""Statements are kept below this and below max_allowed_packet."""

_TYPES: Final[Mapping[Type, str]] = {
    Type.INT8: "TINYINT",
    Type.INT16: "SMALLINT",
    Type.INT32: "INT",
    Type.INT64: "BIGINT",
    Type.FLOAT32: "FLOAT",
    Type.FLOAT64: "DOUBLE",
    Type.BOOLEAN: "TINYINT",
    Type.STRING: "TEXT",
    Type.BYTES: "VARBINARY(1024)",
}
_AWAY: Final = frozenset(
    {
        1040,
        1042,
        1043,
        1053,
        1077,
        1129,
        1152,
        1158,
        1159,
        1160,
        1161,
        1184,
        1203,
        1226,
        1927,
        2002,
        2003,
        2006,
        2013,
        2014,
        2055,
        4031,
    }
)
_BUSY: Final = frozenset({1020, 1114, 1205, 1206, 1213, 1290, 1021, 1028, 1030, 1041, 1180, 1836, 3572})
_DATA: Final = frozenset(
    {
        1022,
        1048,
        1062,
        1138,
        1263,
        1264,
        1265,
        1292,
        1364,
        1365,
        1366,
        1406,
        1411,
        1416,
        1425,
        1426,
        1438,
        1451,
        1452,
        1525,
        1557,
        1586,
        1644,
        1690,
        1859,
        3140,
        3819,
        4025,
        1105,
        1288,
    }
)
_ESCAPED: Final = re.compile(r"[\0\n\r\x1a'\\]")
_ESCAPES: Final = {"\0": "\\0", "\n": "\\n", "\r": "\\r", "\x1a": "\\Z", "'": "\\'", "\\": "\\\\"}


class MySql(Dialect):
    """Many rows a statement, as text: the fastest way in that still raises real errors for bad values."""

    name = "MySqlDatabaseDialect"
    subprotocols = ("mysql", "mariadb")
    quote_mark = "`"
    max_identifier = 64
    epoch_type = "DATETIME(6)"

    # -- connections --------------------------------------------------------------------------

    def connect(self, settings: Settings) -> Any:
        url = settings.url
        options: dict[str, Any] = {
            "host": url.host,
            "port": url.port or 3306,
            "user": settings.user or settings.option("user") or None,
            "password": settings.password or settings.option("password") or "",
            "database": url.database or None,
            "connect_timeout": settings.timeout,
        }
        options |= _tls(settings)
        with self.refusing():
            connection = _driver()(options)
            cursor = connection.cursor()
            # Own values, not the server's: strict, so that bad values are errors, and backslashes escape.
            cursor.execute("SET SESSION sql_mode = 'STRICT_TRANS_TABLES,NO_ENGINE_SUBSTITUTION'")
            cursor.execute("SET NAMES utf8mb4")
            # What is written is wall clock text, which a TIMESTAMP column must not shift.
            cursor.execute("SET time_zone = '+00:00'")
            if settings.isolation:
                cursor.execute(f"SET SESSION TRANSACTION ISOLATION LEVEL {settings.isolation}")
            cursor.close()
            connection.commit()
        return connection

    def refusal(self, error: Exception) -> Refused | None:
        if not isinstance(error, _errors()):
            return None
        code = getattr(error, "errno", None)
        if code is None and error.args and isinstance(error.args[0], int):
            code = error.args[0]
        state = getattr(error, "sqlstate", None)
        text = str(error.args[1]) if len(error.args) > 1 and isinstance(error.args[0], int) else str(error)
        if code in _AWAY or (code is None and "closed" in text.lower()) or state in ("08S01", "08000"):
            kind = Refusal.AWAY
        elif code in _BUSY or state == "40001":
            kind = Refusal.BUSY
        elif code in _DATA or (state or "")[:2] in ("22", "23"):
            kind = Refusal.DATA
        else:
            kind = Refusal.AWAY if code is not None and 2000 <= code < 2100 else Refusal.SCHEMA
        return Refused(f"({code}) {text}" if code is not None else text, kind, state=state, code=code)

    # -- tables -------------------------------------------------------------------------------

    def table_id(self, parts: Sequence[str]) -> TableId:
        return TableId(parts[-1], catalog=parts[0] if len(parts) > 1 else None)

    def table(self, cursor: Any, table: TableId) -> Table | None:
        where = "TABLE_SCHEMA = COALESCE(%s, DATABASE()) AND TABLE_NAME = %s"
        values = (table.catalog, table.name)
        cursor.execute(f"SELECT TABLE_TYPE FROM information_schema.TABLES WHERE {where}", values)
        found = cursor.fetchone()
        if found is None:
            return None
        cursor.execute(
            "SELECT COLUMN_NAME, COLUMN_TYPE, IS_NULLABLE, COLUMN_KEY FROM information_schema.COLUMNS "
            f"WHERE {where} ORDER BY ORDINAL_POSITION",
            values,
        )
        columns = tuple(
            Column(name, _text(kind).lower(), nullable == "YES", key == "PRI")
            for name, kind, nullable, key in cursor.fetchall()
        )
        return Table(table, Kind.VIEW if "VIEW" in found[0] else Kind.TABLE, columns)

    def column_type(self, schema: Schema, *, key: bool) -> str:
        if schema.name == DECIMAL:
            return f"DECIMAL(65,{decimal_scale(schema)})"
        if bind_kind(schema) is BindAs.MOMENT:
            return "DATE" if schema.name == DATE else "TIME(3)" if schema.name == TIME else "DATETIME(3)"
        if schema.type is Type.STRING and key:
            return KEY_TEXT
        return _TYPES[schema.type]

    # -- writing ------------------------------------------------------------------------------

    def insert(self, cursor: Any, table: str, columns: Sequence[Bound]) -> None:
        self._write(cursor, f"INSERT INTO {table}({self.names(columns, quoting=True)}) VALUES", columns, "")

    def upsert(self, cursor: Any, table: str, keys: Sequence[Bound], others: Sequence[Bound], *, quoting: bool) -> None:
        columns = [*keys, *others]
        # VALUES(c) is the one form that MariaDB and every MySQL understand.
        sets = ",".join(f"{self.quote(c.name)}=VALUES({self.quote(c.name)})" for c in others or keys)
        head = f"INSERT INTO {table}({self.names(columns, quoting=True)}) VALUES"
        self._write(cursor, head, columns, f" ON DUPLICATE KEY UPDATE {sets}")

    @staticmethod
    def _write(cursor: Any, head: str, columns: Sequence[Bound], tail: str) -> None:
        rows = list(map(",".join, zip(*(_literals(column) for column in columns), strict=True)))
        size = sum(map(len, rows)) + 3 * len(rows)
        if size < STATEMENT_BYTES // 4:
            cursor.execute(f"{head}({'),('.join(rows)}){tail}")
            return
        some: list[str] = []
        size = 0
        for row in rows:
            # Four bytes a character at the worst, so that counting characters is enough.
            if some and size + 4 * len(row) > STATEMENT_BYTES:
                cursor.execute(f"{head}({'),('.join(some)}){tail}")
                some, size = [], 0
            some.append(row)
            size += 4 * len(row) + 3
        if some:
            cursor.execute(f"{head}({'),('.join(some)}){tail}")


def _text(value: Any) -> str:
    return value.decode() if isinstance(value, bytes) else str(value)


def _literals(column: Bound) -> list[str]:
    return _LITERALS[column.kind](column.values)


def _strings(values: list[Any]) -> list[str]:
    clean = _ESCAPED.search
    return ["NULL" if v is None else f"'{v}'" if clean(v) is None else f"'{_ESCAPED.sub(_escape, v)}'" for v in values]


def _escape(match: re.Match[str]) -> str:
    return _ESCAPES[match[0]]


def _numbers(values: list[Any]) -> list[str]:
    return ["NULL" if value is None else str(value) for value in values]


def _floats(values: list[Any]) -> list[str]:
    return ["NULL" if value is None else _float(value) for value in values]


def _float(value: float) -> str:
    if value != value or value in (float("inf"), float("-inf")):
        # No literal exists; as text the server refuses the row with its own words.
        return f"'{value}'"
    return repr(value)


def _decimals(values: list[Any]) -> list[str]:
    return [
        "NULL" if value is None else format(value, "f") if isinstance(value, Decimal) else str(value)
        for value in values
    ]


def _booleans(values: list[Any]) -> list[str]:
    return ["NULL" if value is None else "1" if value else "0" for value in values]


def _bytes(values: list[Any]) -> list[str]:
    return ["NULL" if value is None else f"x'{value.hex()}'" for value in values]


_LITERALS: Final[Mapping[BindAs, Callable[[list[Any]], list[str]]]] = {
    BindAs.INTEGER: _numbers,
    BindAs.FLOAT: _floats,
    BindAs.BOOLEAN: _booleans,
    BindAs.TEXT: _strings,
    BindAs.BYTES: _bytes,
    BindAs.DECIMAL: _decimals,
    BindAs.MOMENT: _strings,
}


def _tls(settings: Settings) -> dict[str, Any]:
    mode = (settings.option("sslMode", "useSSL", "useSsl") or "").lower()
    if mode in ("", "disable", "disabled", "false"):
        return {}
    found: dict[str, Any] = {"ssl": True}
    authority = settings.option("serverSslCert", "trustCertificateKeystoreUrl")
    if authority:
        found["ssl_ca"] = authority.removeprefix("file:")
    if mode in ("verify-full", "verify_identity", "verify-ca", "verify_ca"):
        found["ssl_verify_cert"] = True
    return found


def _driver() -> Callable[[dict[str, Any]], Any]:
    try:
        import mariadb
    except ImportError:
        try:
            import pymysql
        except ImportError as exc:
            raise ConfigError(
                {"connection.url": ["no driver for MariaDB and MySQL is installed: pip install 'syncline[mariadb]'"]}
            ) from exc
        return lambda options: pymysql.connect(charset="utf8mb4", local_infile=False, **options)
    return lambda options: mariadb.connect(local_infile=False, autocommit=False, **options)


def _errors() -> tuple[type[Exception], ...]:
    found: list[type[Exception]] = []
    try:
        import mariadb

        found.append(mariadb.Error)
    except ImportError:
        pass
    try:
        import pymysql

        found.append(pymysql.err.MySQLError)
    except ImportError:
        pass
    return tuple(found)


MYSQL: Final = MySql()
