"""What an instance of the user service can be told, as `USER_...` in its environment."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path

from pydantic import AnyHttpUrl, Field, SecretStr

from syncline.kit.settings import ServiceSettings


class PartialStyle(StrEnum):
    """How a user is shown whose orders cannot be had."""

    EXPLICIT = "explicit"
    """`"orders": null, "partial": true, "errors": [...]`: nobody takes it for a user without orders."""
    EMPTY = "empty"
    """`"orders": []` as the tutorials have it, and the header `X-Partial: order-service`."""


class UserSettings(ServiceSettings, env_prefix="USER_"):
    """USER_DATABASE_URL and USER_DATA_FOLDER must be set; the rest has defaults."""

    database_url: SecretStr
    """`sqlite:///file.db`, `mariadb://user:password@host:port/database`, `postgresql://...`; shared by instances."""
    data_folder: Path
    """Holds the key that signs tokens; shared by instances, and readable for nobody else."""
    token_seconds: int = Field(default=900, ge=1)
    """How long a token is good."""
    refresh_days: float = Field(default=14, gt=0)
    """How long a user who comes back stays signed in, counted from the last time."""
    token_issuer: str = "user-service"  # noqa: S105  # a name, no secret
    token_audience: str = "syncline-shop"  # noqa: S105  # likewise
    admins: list[str] = Field(default_factory=list)
    """E-mail addresses of users whose tokens carry the role admin: `["roy@example.com"]`."""
    login_attempts: int = Field(default=5, ge=1)
    """Wrong passwords for one address within the window, before the next one is answered with 429."""
    login_window_seconds: int = Field(default=60, ge=1)
    order_urls: list[AnyHttpUrl] = Field(default_factory=list)
    """Where order services are; with none of them the registry is asked."""
    order_seconds: float = Field(default=1.0, gt=0)
    """How long a user waits for the orders, retries included."""
    partial_style: PartialStyle = PartialStyle.EXPLICIT
