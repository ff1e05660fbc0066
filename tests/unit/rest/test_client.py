"""The client of the REST interface, against a server of ours."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from syncline.client.client import ConnectClient, ConnectRefused, ConnectUnreachable
from syncline.client.models import ConnectorOffset
from syncline.rest.app import RestApp, RestSettings
from syncline.rest.server import RestServer, bind
from tests.unit.cluster.herding import SOURCE, Site


@pytest.fixture
def client() -> Iterator[ConnectClient]:
    site = Site()
    listener = bind("http://127.0.0.1:0")
    server = RestServer(RestApp(site.herder, RestSettings.of()), listener)
    server.start()
    with ConnectClient(f"http://127.0.0.1:{listener.port}/") as made:
        yield made
    server.stop()
    site.herder.stop()


def test_a_connector_from_its_creation_to_its_end(client: ConnectClient) -> None:
    name = "a/b ü"
    made = client.create(name, SOURCE, initial_state="STOPPED")
    assert (made.name, made.type, made.tasks) == (name, "source", [])
    assert client.connectors() == [name]
    assert client.status(name).connector.state == client.statuses()[name].connector.state == "STOPPED"
    assert client.patch_config(name, {"more": "1"}).config["more"] == "1"
    assert "more" not in client.put_config(name, SOURCE).config
    assert client.config(name) == client.info(name).config
    assert client.alter_offsets(name, [ConnectorOffset({"p": 1}, {"at": 2})]).endswith("altered successfully")
    assert client.offsets(name) == [ConnectorOffset({"p": 1}, {"at": 2})]
    assert client.reset_offsets(name).endswith("reset successfully")
    client.resume(name)
    assert [task.id.task for task in client.tasks(name)] == [0]
    client.pause(name)
    client.restart(name)
    client.restart(name, include_tasks=True)
    client.restart_task(name, 0)
    assert client.task_status(name, 0).id == 0
    assert client.topics(name) == []
    client.reset_topics(name)
    client.stop(name)
    client.delete(name)
    assert client.expanded() == {}


def test_the_worker_describes_itself(client: ConnectClient) -> None:
    assert client.root().version == "4.1.0"
    assert client.health().status == "healthy"
    assert "connect_worker" in client.metrics()
    assert {plugin.type for plugin in client.plugins()} == {"sink", "source"}
    assert {plugin.type for plugin in client.plugins(connectors_only=False)} > {"converter", "transformation"}
    assert "regex" in [option.name for option in client.plugin_config("RegexRouter")]
    assert client.validate({"connector.class": "FileStreamSink", "name": "c"}).error_count == 2
    assert "root" in client.loggers()


def test_a_refusal_has_the_status_and_the_words_of_the_worker(client: ConnectClient) -> None:
    with pytest.raises(ConnectRefused, match="Connector nope not found") as refused:
        client.info("nope")
    assert refused.value.status == 404
    with pytest.raises(ConnectRefused, match="invalid log level 'LOUD'"):
        client.set_logger("x", "LOUD")


def test_nobody_there_is_said_with_the_address() -> None:
    listener = bind("http://127.0.0.1:0")
    listener.socket.close()
    address = f"http://127.0.0.1:{listener.port}"
    with ConnectClient(address) as nobody, pytest.raises(ConnectUnreachable, match=address):
        nobody.root()
    with pytest.raises(ConnectUnreachable, match="is not the address"), ConnectClient("http://host:port") as nowhere:
        nowhere.root()
