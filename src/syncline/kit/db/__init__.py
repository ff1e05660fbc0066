"""Databases for services: one URL in, SQLAlchemy Core out, on SQLite, MariaDB, MySQL and PostgreSQL."""

from syncline.kit.db.columns import Moment
from syncline.kit.db.database import Database
from syncline.kit.db.locks import NamedLock
from syncline.kit.db.once import insert_once

__all__ = ["Database", "Moment", "NamedLock", "insert_once"]
