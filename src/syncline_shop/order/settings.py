"""What an instance of the order service can be told, as `ORDER_...` in its environment."""

from __future__ import annotations

from enum import StrEnum

from pydantic import Field, SecretStr

from syncline.kit.settings import ServiceSettings


class WriteMode(StrEnum):
    """How an order becomes a row."""

    PRIVATE = "private"
    """The instance writes it into a database of its own: instances disagree."""
    CONNECT = "connect"
    """The instance publishes it; a sink connector writes it into the database that all read."""


class OrderSettings(ServiceSettings, env_prefix="ORDER_"):
    """ORDER_DATABASE_URL must be set; the rest has defaults."""

    write_mode: WriteMode = WriteMode.CONNECT
    database_url: SecretStr
    """`sqlite:///file.db`, `mariadb://user:password@host:port/database`, `postgresql://...`."""
    bootstrap_servers: str = "127.0.0.1:9092"
    """Kafka, in mode connect."""
    delivery_ms: int = Field(default=3_000, ge=100)
    """How long a request waits for the broker before it is answered with 503."""
