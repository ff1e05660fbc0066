"""What Kafka Connect says of a configuration, key by key, against our answers to the same calls.

The `expect` of a row in `differences.toml` gives members of the recorded `expect` anew.

Neither call needs a running worker, so both are made on a herder that was never started.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from syncline.client.models import ConfigInfo, ConfigInfos, ConfigKeyInfo
from syncline.cluster.answers import DistributedAnswers
from syncline.cluster.standalone import StandaloneHerder
from syncline.stores.memory import MemoryOffsets
from syncline.worker.plugins import Plugins
from syncline.worker.settings import WorkerSettings
from tests.golden.connect_site import DB_PASSWORD, with_account
from tests.golden.support import Case, cases, document, settling

FILE = "validate.json"
DATABASE = "goldenval"
JSON_CONVERTER = "org.apache.kafka.connect.json.JsonConverter"


class Site:
    """A worker that validates, and what stands for the placeholders of a recorded configuration."""

    def __init__(self, folder: Path, request: pytest.FixtureRequest) -> None:
        settings = WorkerSettings.of({"key.converter": JSON_CONVERTER, "value.converter": JSON_CONVERTER})
        self.herder = StandaloneHerder(
            settings, Plugins.installed(), MemoryOffsets(), "127.0.0.1:8083", answers=DistributedAnswers()
        )
        self._names = {"<tmp>": str(folder), "<db_password>": DB_PASSWORD}
        self._request = request

    def validate(self, plugin: str, config: Mapping[str, str]) -> ConfigInfos:
        """The answer to the validate call; a database is there as soon as a configuration names one."""
        if "<jdbc_url>" in config.values() and "<jdbc_url>" not in self._names:
            self._names["<jdbc_url>"] = self._database()
        return self.herder.validate(plugin, {key: self._filled(value) for key, value in config.items()})

    def _database(self) -> str:
        server = with_account(self._request.getfixturevalue("mariadb_server"), DATABASE)
        with contextlib.closing(server.connect()) as connection, connection.cursor() as cursor:
            for statement in document(FILE)["setup_sql"]:
                cursor.execute(statement)
        return f"jdbc:mariadb://127.0.0.1:{server.port}/{DATABASE}"

    def _filled(self, value: str) -> str:
        for name, meant in self._names.items():
            value = value.replace(name, meant)
        return value

    @property
    def names(self) -> dict[str, str]:
        """The placeholders of answers."""
        return {name.strip("<>"): meant for name, meant in self._names.items()}


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest) -> Iterator[Site]:
    made = Site(tmp_path_factory.mktemp("validate"), request)
    yield made
    made.herder.stop()


@pytest.mark.parametrize("case", cases(FILE, "definition"))
def test_definitions(case: Case, site: Site) -> None:
    plugin = case.data["plugin"]
    answer = site.validate(plugin, good_config(plugin))
    described = site.herder.plugin_config(plugin, None)
    with settling(case) as verdict:
        for what, found in (definitions(answer, described) | {"class": answer.name}).items():
            verdict.same(what, found, case.expected[what])
        recorded = [definition["name"] for definition in case.expected["configs"]]
        found_infos = {info.value.name: info for info in answer.configs}
        ours = [definition_of(found_infos[name]) for name in recorded if name in found_infos]
        verdict.same("configs", ours, case.expected["configs"])


@pytest.mark.parametrize("case", cases(FILE, "FileStream*", "Jdbc*"))
def test_recorded(case: Case, site: Site) -> None:
    plugin = case.data["plugin"]
    answer = site.validate(plugin, case.data["config"])
    known = document(FILE)["definitions"][plugin]["order_in_validate"]
    with settling(case) as verdict:
        verdict.same("", reduced(answer, known), expected(case), **site.names)


def expected(case: Case) -> dict[str, Any]:
    """The recorded answer; the row of an intended difference gives some of its members anew."""
    instead = case.difference.expect if case.difference is not None else None
    return {**case.data["expect"], **(instead or {})}


def good_config(plugin: str) -> dict[str, str]:
    """The configuration without mistakes that the plug-in's cases change."""
    config: dict[str, str] = next(
        case["config"]
        for case in document(FILE)["cases"]
        if case["plugin"] == plugin and not case["base_config_changes"]
    )
    return config


def definitions(answer: ConfigInfos, described: list[ConfigKeyInfo]) -> dict[str, Any]:
    """Which options the two calls list, in which order, and where they disagree about one."""
    first = {info.name: members(info) for info in described}
    second = {info.value.name: members(info.definition) for info in answer.configs}
    differing = {
        name: {
            member: [value, second[name][member]]
            for member, value in first[name].items()
            if value != second[name][member]
        }
        for name in first
        if name in second and first[name] != second[name]
    }
    return {
        "order_in_config_endpoint": list(first),
        "order_in_validate": list(second),
        "groups_in_validate": answer.groups,
        "same_in_both": first == second,
        "differences_config_endpoint_vs_validate": differing,
        "keys_only_in_config_endpoint": [name for name in first if name not in second],
        "keys_only_in_validate": [name for name in second if name not in first],
    }


def members(info: ConfigKeyInfo | None) -> dict[str, Any]:
    """A definition; its documentation is ours, and not compared."""
    assert info is not None
    found = {name: getattr(info, name) for name in info.__struct_fields__}
    assert found.pop("documentation")
    return found


def definition_of(info: ConfigInfo) -> dict[str, Any]:
    return members(info.definition) | {"recommended_values": info.value.recommended_values}


def reduced(answer: ConfigInfos, known: list[str]) -> dict[str, Any]:
    """An answer as the recorder kept it."""
    found = {info.value.name: info for info in answer.configs}
    values = {name: info.value for name, info in found.items()}
    defaults = {name: info.definition and info.definition.default_value for name, info in found.items()}
    errors = {name: value.errors for name, value in values.items() if value.errors}
    return {
        "status": 200,
        "name": answer.name,
        "error_count": answer.error_count,
        "groups": answer.groups,
        "keys": len(answer.configs),
        "extra_keys": [name for name in found if name not in known],
        "missing_keys": [name for name in known if name not in found],
        "definition_null": [name for name, info in found.items() if info.definition is None],
        "error_counts": {name: len(texts) for name, texts in errors.items()},
        "errors": errors,
        "invisible": [name for name, value in values.items() if not value.visible],
        "recommended": {name: value.recommended_values for name, value in values.items() if value.recommended_values},
        "values": {name: value.value for name, value in values.items() if value.value != defaults[name]},
    }
