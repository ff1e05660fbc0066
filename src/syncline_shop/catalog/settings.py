"""What an instance of the catalog service can be told, as `CATALOG_...` in its environment."""

from __future__ import annotations

from pydantic import Field, SecretStr

from syncline_shop.contracts import StockTopicSettings


class CatalogSettings(StockTopicSettings, env_prefix="CATALOG_"):
    """CATALOG_DATABASE_URL must be set; the rest has defaults. The topic's name is SHOP_STOCK_TOPIC."""

    database_url: SecretStr
    """`sqlite:///file.db`, `mariadb://user:password@host:port/database`, `postgresql://...`; shared by instances."""
    bootstrap_servers: str = "127.0.0.1:9092"
    group: str = "catalog-service"
    """Instances with one database are one group; another database needs another group."""
    check_prices: bool = False
    """Whether an order at another price than the product's is rejected. The tutorials' own orders would be."""
    commit_seconds: float = Field(default=1, ge=0)
    """How often offsets are committed; what a crash leaves uncommitted comes again and has no effect."""
    retry_attempts: int = Field(default=8, ge=1)
    """For an event the service itself fails on, before it becomes a dead letter."""
