"""What the gateway can be told, as `GATEWAY_...` in its environment."""

from __future__ import annotations

from pydantic import AnyHttpUrl, Field

from syncline.kit.settings import ServiceSettings


class GatewaySettings(ServiceSettings, env_prefix="GATEWAY_"):
    """`GATEWAY_INSTANCES='{"order-service": ["http://127.0.0.1:60727", "http://127.0.0.1:60714"]}'`."""

    port: int = Field(default=8000, ge=0, le=65535)
    instances: dict[str, list[AnyHttpUrl]] = Field(default_factory=dict)
    """By service: a request for `/<service>/...` goes to one of these, path unchanged."""
    connect_seconds: float = Field(default=1, gt=0)
    answer_seconds: float = Field(default=30, gt=0)
    """How long an instance may stay silent before the caller gets a 504."""
