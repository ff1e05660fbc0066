"""The page about discovery and gateway names what there is, no more and no less."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from syncline.kit.discovery.balancer import Policy
from syncline.kit.settings import ServiceSettings
from syncline_shop.discovery.settings import DiscoverySettings
from syncline_shop.gateway.settings import GatewaySettings

PAGE = (Path(__file__).parents[3] / "docs" / "discovery.md").read_text()


@pytest.mark.parametrize("kind", [DiscoverySettings, GatewaySettings])
def test_every_setting_of_its_own_has_a_row_and_every_row_is_a_setting(kind: type[ServiceSettings]) -> None:
    prefix = kind.model_config.get("env_prefix", "")
    own = {name for name in kind.__annotations__ if name in kind.model_fields}
    rows = set(re.findall(rf"^\| `({prefix}\w+)` \|", PAGE, re.M))
    assert rows == {f"{prefix}{name}".upper() for name in own}


def test_what_every_service_can_be_told_is_there() -> None:
    rows = set(re.findall(r"^\| `([A-Z_]+)` \|", PAGE, re.M))
    common = {name.upper() for name in ServiceSettings.model_fields}
    assert {"REGISTRY_URL", "LEASE_SECONDS", "RENEW_SECONDS", "LEAVE_SECONDS", "WEIGHT", "ADVERTISED_HOST"} <= rows
    assert {row for row in rows if not row.startswith(("DISCOVERY_", "GATEWAY_"))} <= common


def test_every_policy_is_named() -> None:
    assert [policy for policy in Policy if f"`{policy}`" not in PAGE] == []
