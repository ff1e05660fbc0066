"""Finding plug-ins and the names they go by."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from syncline.api import Plugin, PluginKind
from syncline.errors import NotFound
from syncline.worker.plugins import Plugins
from tests.unit.worker.conftest import installed


def plugin(java_class: str, kind: PluginKind = PluginKind.SINK) -> Plugin:
    return Plugin(kind, java_class, "1", object)


def names(*java_classes: str, kind: PluginKind = PluginKind.SINK) -> Plugins:
    return Plugins([plugin(java_class, kind) for java_class in java_classes])


@pytest.mark.parametrize("name", ["org.x.FileSinkConnector", "FileSinkConnector", "FileSink"])
def test_a_connector_goes_by_three_names(name: str) -> None:
    found = names("org.x.FileSinkConnector").find(name, PluginKind.SINK)
    assert found is not None
    assert found.java_class == "org.x.FileSinkConnector"


def test_names_are_exact() -> None:
    assert names("org.x.FileSinkConnector").find("filesink", PluginKind.SINK) is None
    assert names("org.x.FileSinkConnector").find("FileSink", PluginKind.SOURCE) is None


def test_an_alias_that_two_classes_share_names_neither() -> None:
    shared = names("a.FileSinkConnector", "b.FileSinkConnector")
    assert shared.find("FileSink", PluginKind.SINK) is None
    assert shared.find("b.FileSinkConnector", PluginKind.SINK) is not None


def test_nested_classes_go_by_their_whole_last_part() -> None:
    nested = names("x.Cast$Key", "x.Cast$Value", "x.Mask$Value", kind=PluginKind.TRANSFORMATION)
    found = nested.find("Cast$Value", PluginKind.TRANSFORMATION)
    assert found is not None
    assert found.java_class == "x.Cast$Value"
    assert nested.find("Value", PluginKind.TRANSFORMATION) is None


def test_listings_are_in_kafkas_order() -> None:
    kinds = [
        PluginKind.HEADER_CONVERTER,
        PluginKind.CONVERTER,
        PluginKind.SOURCE,
        PluginKind.SINK,
        PluginKind.PREDICATE,
        PluginKind.TRANSFORMATION,
    ]
    listed = Plugins([*(plugin("b", kind) for kind in kinds), plugin("a", PluginKind.PREDICATE)])
    assert [(made.kind.value, made.java_class) for made in listed.all] == [
        ("sink", "b"),
        ("source", "b"),
        ("transformation", "b"),
        ("predicate", "a"),
        ("predicate", "b"),
        ("converter", "b"),
        ("header_converter", "b"),
    ]


def test_an_unknown_connector_is_answered_with_those_there_are() -> None:
    with pytest.raises(NotFound) as caught:
        names("org.x.FileSinkConnector").connector("Nope")
    assert str(caught.value) == (
        "Failed to find any class that implements Connector and which name matches Nope, available connectors are: "
        "PluginDesc{klass=class org.x.FileSinkConnector, name='org.x.FileSinkConnector', version='1', type=sink}"
    )


def test_the_own_plugins_come_in_through_the_entry_points() -> None:
    for name, kind in (
        ("org.apache.kafka.connect.json.JsonConverter", PluginKind.CONVERTER),
        ("org.apache.kafka.connect.storage.SimpleHeaderConverter", PluginKind.HEADER_CONVERTER),
        ("org.apache.kafka.connect.transforms.Cast$Value", PluginKind.TRANSFORMATION),
        ("RecordIsTombstone", PluginKind.PREDICATE),
        ("FileStreamSource", PluginKind.SOURCE),
    ):
        assert installed().find(name, kind) is not None, name


PACKAGE = """
from syncline.api import PluginKind, Transform, plugin

@plugin(PluginKind.TRANSFORMATION, "com.acme.Shout", version="2.0")
class Shout(Transform):
    def apply(self, record):
        return record
"""


def test_plugins_of_a_folder_are_found_and_a_broken_module_is_left_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    package = tmp_path / "acme_shout"
    package.mkdir()
    (package / "__init__.py").write_text("")
    (package / "shout.py").write_text(PACKAGE)
    (package / "broken.py").write_text("import a_module_that_does_not_exist")
    info = tmp_path / "acme_shout-2.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: acme-shout\nVersion: 2.0\n")
    (info / "entry_points.txt").write_text("[syncline.plugins]\nacme = acme_shout\n")
    monkeypatch.setattr(sys, "path", list(sys.path))
    found = Plugins.installed([str(tmp_path), str(tmp_path / "missing")])
    shout = found.find("Shout", PluginKind.TRANSFORMATION)
    assert shout is not None
    assert shout.version == "2.0"
    assert found.find("FileStreamSource", PluginKind.SOURCE) is not None
    said = [record.getMessage() for record in caplog.records]
    assert any("acme_shout.broken cannot be imported and is left out" in text for text in said)
    assert any("missing, which is no folder" in text for text in said)
