"""Settings come from one prefix of the environment; what is wrong or unknown is named."""

from __future__ import annotations

import pytest
from pydantic import SecretStr

from syncline.errors import ConfigError
from syncline.kit.settings import ServiceSettings, load


class ShopSettings(ServiceSettings, env_prefix="SHOP_"):
    database_url: SecretStr
    retries: int = 3
    instances: dict[str, list[str]] = {}  # noqa: RUF012  # pydantic copies defaults


@pytest.fixture(autouse=True)
def environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SHOP_DATABASE_URL", "mariadb://u:hidden@h/d")


def test_fields_are_read_from_their_variables(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SHOP_PORT", "8001")
    monkeypatch.setenv("SHOP_INSTANCES", '{"a": ["b"]}')
    settings = load(ShopSettings)
    assert (settings.port, settings.retries, settings.instances) == (8001, 3, {"a": ["b"]})


def test_a_misspelt_variable_is_refused_with_the_one_that_was_meant(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SHOP_RETIRES", "5")
    with pytest.raises(ConfigError, match="SHOP_RETIRES is no setting of this service; did you mean SHOP_RETRIES"):
        load(ShopSettings)


def test_every_wrong_variable_is_told_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SHOP_PORT", "70000")
    monkeypatch.setenv("SHOP_RETRIES", "many")
    monkeypatch.setenv("SHOP_INSTANCES", "{")
    with pytest.raises(ConfigError) as caught:
        load(ShopSettings)
    assert set(caught.value.errors) == {"SHOP_PORT", "SHOP_RETRIES", "SHOP_INSTANCES"}
    assert "SHOP_PORT=70000" in str(caught.value)


def test_a_missing_variable_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SHOP_DATABASE_URL")
    with pytest.raises(ConfigError, match="SHOP_DATABASE_URL must be set"):
        load(ShopSettings)


def test_secrets_are_not_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    assert "hidden" not in repr(load(ShopSettings))
    monkeypatch.setenv("SHOP_PORT", "x")
    with pytest.raises(ConfigError) as caught:
        load(ShopSettings)
    assert "hidden" not in str(caught.value)
