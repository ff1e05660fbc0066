"""The worker's own options."""

from __future__ import annotations

import pytest

from syncline.errors import ConfigError
from syncline.worker.settings import WorkerSettings
from syncline.worker.states import CONNECTOR_MOVES, TASK_MOVES, State

NEEDED = {"key.converter": "k", "value.converter": "v"}


def test_defaults_are_kafkas() -> None:
    options = WorkerSettings.of(NEEDED).options
    assert (options.bootstrap_servers, options.offset_flush_ms, options.offset_flush_timeout_ms) == (
        "localhost:9092",
        60_000,
        5_000,
    )
    assert (options.shutdown_ms, options.listeners, options.admin_listeners) == (5_000, ["http://:8083"], None)
    assert options.header_converter == "org.apache.kafka.connect.storage.SimpleHeaderConverter"


def test_every_bad_option_is_named_at_once() -> None:
    with pytest.raises(ConfigError) as caught:
        WorkerSettings.of({"offset.flush.interval.ms": "0", "plugin.discovery": "x"})
    assert list(caught.value.errors) == [
        "key.converter",
        "value.converter",
        "offset.flush.interval.ms",
        "plugin.discovery",
    ]


def test_a_standalone_worker_needs_its_offset_file() -> None:
    with pytest.raises(ConfigError, match=r"offset\.storage\.file\.filename"):
        WorkerSettings.of(NEEDED).standalone()


def test_security_settings_count_for_connectors_clients_unless_repeated() -> None:
    settings = WorkerSettings.of(
        {
            **NEEDED,
            "bootstrap.servers": "b:1",
            "security.protocol": "SSL",
            "sasl.jaas.config": "secret",
            "producer.security.protocol": "PLAINTEXT",
            "producer.linger.ms": "1",
            "request.timeout.ms": "7",
        }
    )
    assert settings.client("producer") == {
        "bootstrap.servers": "b:1",
        "security.protocol": "PLAINTEXT",
        "sasl.jaas.config": "secret",
        "linger.ms": "1",
    }
    assert settings.client("consumer")["security.protocol"] == "SSL"
    assert settings.own_client()["request.timeout.ms"] == "7"


def test_properties_nobody_reads_are_said_once_and_secrets_never_shown(caplog: pytest.LogCaptureFixture) -> None:
    settings = WorkerSettings.of({**NEEDED, "grup.id": "x", "producer.acks": "1", "internal.key.converter": "j"})
    settings.warn_of_unused({"group.id"})
    said = [record.getMessage() for record in caplog.records]
    assert len(said) == 2
    assert "the property grup.id is known neither" in said[0]
    assert "internal.key.converter has no effect" in said[1]
    assert "properties" not in repr(settings)


@pytest.mark.parametrize("moves", [TASK_MOVES, CONNECTOR_MOVES], ids=["tasks", "connectors"])
def test_every_state_has_its_row_and_leads_to_destruction(moves: dict[State, frozenset[State]]) -> None:
    assert set(moves) | {State.STOPPED} == set(State)
    for state, following in moves.items():
        assert state not in following
        assert State.DESTROYED in following or state is State.DESTROYED


def test_a_failed_task_is_never_called_unassigned() -> None:
    assert State.UNASSIGNED not in TASK_MOVES[State.FAILED]
    assert State.PAUSED not in CONNECTOR_MOVES[State.FAILED]
