"""What the gateway can be told, as `GATEWAY_...` in its environment."""

from __future__ import annotations

from pydantic import AnyHttpUrl, Field

from syncline.kit.discovery.balancer import Policy
from syncline.kit.settings import ServiceSettings


class GatewaySettings(ServiceSettings, env_prefix="GATEWAY_"):
    """With GATEWAY_REGISTRY_URL the instances are those of the registry; without it those given here.

    `GATEWAY_INSTANCES='{"order-service": ["http://127.0.0.1:60727", "http://127.0.0.1:60714"]}'`.
    """

    port: int = Field(default=8000, ge=0, le=65535)
    instances: dict[str, list[AnyHttpUrl]] = Field(default_factory=dict)
    """By service, in place of what a registry says about it."""
    policy: Policy = Policy.ROUND_ROBIN
    """How instances share the requests to services that `policies` does not name."""
    policies: dict[str, Policy] = Field(default_factory=dict)
    """By service: `GATEWAY_POLICIES='{"order-service": "least-outstanding"}'`."""
    connect_seconds: float = Field(default=1, gt=0)
    answer_seconds: float = Field(default=30, gt=0)
    """How long a caller may wait for the head of an answer, over all tries, before it gets a 504."""
    answer_limits: dict[str, float] = Field(default_factory=dict)
    """The same by service: `GATEWAY_ANSWER_LIMITS='{"catalog-service": 2}'`."""
    retries: int = Field(default=1, ge=0)
    """Further tries, on other instances, of idempotent requests whose connection broke off."""
    token_services: list[str] = Field(default_factory=list)
    """Services that need a token besides user-service: `GATEWAY_TOKEN_SERVICES='["order-service"]'`."""
    token_issuer: str = "user-service"  # noqa: S105  # a name, no secret
    """What a token's `iss` must be."""
    token_audience: str = "syncline-shop"  # noqa: S105  # likewise
    """What a token's `aud` must hold."""
    token_leeway_seconds: float = Field(default=5, ge=0)
    """By how much clocks of issuer and gateway may differ."""
