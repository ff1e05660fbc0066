"""What `up` starts, by file and options; mistakes are named with their place and the nearest right word."""

from __future__ import annotations

from pathlib import Path

import pytest

from syncline.cli.plan import Plan, Ports, read_plan
from syncline.errors import ConfigError
from syncline.kit.settings import ServiceSettings
from syncline_shop.catalog.settings import CatalogSettings
from syncline_shop.order.settings import OrderSettings
from syncline_shop.user.settings import UserSettings


def read(folder: Path, text: str) -> Plan:
    file = folder / "syncline.toml"
    file.write_text(text)
    return read_plan(file)


def test_without_a_file_the_shop_is_as_small_as_it_shows_something(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    plan = read_plan(None)
    assert plan == Plan()
    assert {name: service.instances for name, service in plan.services.items()} == {"order": 2, "catalog": 1, "user": 1}


def test_a_file_here_is_read_without_being_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "syncline.toml").write_text("restart = true")
    assert read_plan(None).restart


def test_a_file_names_services_instances_database_and_ports(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SHOP_PASSWORD", "s3cret")
    plan = read(
        tmp_path,
        """
        data = "data"
        database = "mariadb://root:${env:SHOP_PASSWORD}@localhost/mydb"

        [ports]
        gateway = 8001
        console = 0

        [services.order]
        instances = 3
        settings = { delivery_ms = 500, write_mode = "connect" }

        [services.user]
        instances = 0
        """,
    )
    assert plan.data == tmp_path / "data"
    assert plan.database == "mariadb://root:s3cret@localhost/mydb"
    assert plan.ports == Ports(gateway=8001, console=0)
    assert plan.services["order"].instances == 3
    assert plan.services["order"].settings == {"delivery_ms": "500", "write_mode": "connect"}
    assert plan.services["user"].instances == 0
    assert plan.services["catalog"].instances == 1


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("databse = 'x'", "there is no 'databse'; did you mean database?"),
        ("[ports]\ngatway = 1", "ports: there is no 'gatway'; did you mean gateway?"),
        ("[ports]\ngateway = 70000", "ports.gateway must be 0 to 65535, and is 70000"),
        ("[ports]\ngateway = '8000'", "ports.gateway must be a whole number, and is '8000'"),
        ("[services.orders]", "services: there is no 'orders'; did you mean order?"),
        ("[services.order]\ninstance = 1", "services.order: there is no 'instance'; did you mean instances?"),
        ("[services.order]\ninstances = 21", "services.order.instances: '21' is no number from 0 to 20"),
        ("[services.order]\ninstances = -1", "services.order.instances: '-1' is no number from 0 to 20"),
        ("services = 3", "services must be a table, and is 3"),
        ("restart = 'yes'", "restart must be true or false, and is 'yes'"),
        ("database = '${env:NOT_SET_ANYWHERE}'", "refers to the environment variable NOT_SET_ANYWHERE"),
        ("data = ", "cannot be read"),
    ],
)
def test_a_mistake_in_the_file_is_named(tmp_path: Path, text: str, said: str) -> None:
    with pytest.raises(ConfigError) as caught:
        read(tmp_path, text)
    assert said in str(caught.value)
    assert "syncline.toml" in str(caught.value)


def test_a_file_that_is_named_must_be_there(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="there is no file"):
        read_plan(tmp_path / "other.toml")


@pytest.mark.parametrize(
    ("entries", "instances"),
    [
        ([], {"order": 2, "catalog": 1, "user": 1}),
        (["3"], {"order": 3, "catalog": 1, "user": 1}),
        (["order=3"], {"order": 3, "catalog": 1, "user": 1}),
        (["order=3,catalog=2"], {"order": 3, "catalog": 2, "user": 1}),
        (["order=3", "user=0"], {"order": 3, "catalog": 1, "user": 0}),
    ],
)
def test_instances_are_chosen_by_service(entries: list[str], instances: dict[str, int]) -> None:
    plan = Plan().with_instances(entries)
    assert {name: service.instances for name, service in plan.services.items()} == instances


@pytest.mark.parametrize(
    ("entry", "said"),
    [
        ("ordr=3", "there is no 'ordr'; did you mean order?"),
        ("order=", "'' is no number"),
        ("order=x", "'x' is no number"),
        ("order=99", "'99' is no number from 0 to 20"),
    ],
)
def test_instances_that_make_no_sense_are_refused(entry: str, said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        Plan().with_instances([entry])


def test_the_file_that_is_documented_is_read_as_it_says(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SHOP_PASSWORD", "s3cret")
    page = (Path(__file__).parents[3] / "docs" / "up.md").read_text("utf-8")
    plan = read(tmp_path, page.partition("```toml\n")[2].partition("```")[0])
    assert plan.data == tmp_path / ".syncline"
    assert plan.database == "mariadb://root:s3cret@localhost:3306/shop"
    assert plan.ports == Ports()
    assert {name: service.instances for name, service in plan.services.items()} == {"order": 3, "catalog": 2, "user": 1}
    known: dict[str, type[ServiceSettings]] = {"order": OrderSettings, "catalog": CatalogSettings, "user": UserSettings}
    for name, service in plan.services.items():
        assert service.settings.keys() <= known[name].model_fields.keys()
