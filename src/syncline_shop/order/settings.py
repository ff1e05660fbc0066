"""What an instance of the order service can be told, as `ORDER_...` in its environment."""

from __future__ import annotations

from enum import StrEnum

from pydantic import AnyHttpUrl, Field, SecretStr

from syncline_shop.contracts import StockTopicSettings


class WriteMode(StrEnum):
    """How an order becomes a row."""

    PRIVATE = "private"
    """The instance writes it into a database of its own: instances disagree."""
    CONNECT = "connect"
    """The instance publishes it; a sink connector writes it into the database that all read."""
    OUTBOX = "outbox"
    """The instance writes it into the database that all share, and what others are to hear of it in the same
    transaction; that is published afterwards, and a broker that is away holds up nobody."""
    REPLICATE = "replicate"
    """The instance publishes it; every instance hears it, and writes it into a database of its own."""


class OrderSettings(StockTopicSettings, env_prefix="ORDER_"):
    """ORDER_DATABASE_URL must be set; the rest has defaults. The stock topic's name is SHOP_STOCK_TOPIC."""

    write_mode: WriteMode = WriteMode.CONNECT
    database_url: SecretStr
    """`sqlite:///file.db`, `mariadb://user:password@host:port/database`, `postgresql://...`."""
    bootstrap_servers: str = "127.0.0.1:9092"
    """Kafka, in all modes but private."""
    delivery_ms: int = Field(default=3_000, ge=100)
    """How long a request waits for the broker before it is answered with 503."""
    transactional_id: str = Field(default="", max_length=200)
    """Of this instance alone; empty makes one up. A lasting one ends its predecessor's open transaction at once."""
    group: str = Field(default="", max_length=200)
    """Instances with one database are one consumer group. Empty is `order-service`, and in mode replicate, where each
    has its own database, a name made of the database's URL."""
    owners_only: bool = False
    """Whether a user's orders need that user's token, or an administrator's; the keys come from user-service."""
    token_issuer: str = "user-service"  # noqa: S105  # a name, no secret
    token_audience: str = "syncline-shop"  # noqa: S105  # likewise
    user_urls: list[AnyHttpUrl] = Field(default_factory=list)
    """Where user services are; with none of them the registry is asked."""
    readers_after_seconds: float = Field(default=30, ge=0)
    """So long after the start a topic that no group reads is worth a warning."""
