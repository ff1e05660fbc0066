"""What the registry can be told, as `DISCOVERY_...` in its environment."""

from __future__ import annotations

from pydantic import Field

from syncline.kit.settings import ServiceSettings


class DiscoverySettings(ServiceSettings, env_prefix="DISCOVERY_"):
    """Everything has a default; port 8761 is where Eureka's clients look."""

    port: int = Field(default=8761, ge=0, le=65535)
    expiry_seconds: float = Field(default=0.5, gt=0)
    """How often leases are looked at."""
    self_preservation: bool = True
    """Believe in silent instances when too many fall silent at once."""
    renewing_share: float = Field(default=0.85, ge=0, le=1)
    """Below this part of living leases that renew in time, nobody expires. Eureka's is 0.85, too."""
    delta_seconds: float = Field(default=180, gt=0)
    """How long a change is part of `/apps/delta`."""
