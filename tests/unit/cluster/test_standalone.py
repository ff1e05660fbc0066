"""The herder of one worker: what requests do to connectors and tasks."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from syncline.errors import AlreadyExists, BadRequest, ConnectError, NotFound, RetriableError
from syncline.testing.builders import source_record
from syncline.testing.probes import ProbeSourceConnector
from syncline.worker.states import Target
from tests.unit.cluster.herding import SINK, SOURCE, Site

PATIENCE = 20


def until(condition: Callable[[], bool], what: str) -> None:
    """Look again and again: the worker reports states from threads of its own."""
    looking, never = 0.0, threading.Event()
    while not condition():
        assert looking < PATIENCE, f"waited {PATIENCE} s for {what}"
        never.wait(0.005)
        looking += 0.005


def running(site: Site) -> None:
    until(lambda: site.states() == ("RUNNING", ["RUNNING"]), "connector and task to run")


def test_a_connector_and_its_task_start(site: Site) -> None:
    made = site.herder.create("c", SOURCE, None)
    assert made.config == {**SOURCE, "name": "c"}
    running(site)
    assert site.status().tasks[0].worker_id == "here:1"
    with pytest.raises(AlreadyExists, match="c already exists"):
        site.herder.create("c", SOURCE, None)


def test_a_configuration_of_another_name_is_refused(site: Site) -> None:
    with pytest.raises(BadRequest, match=r"\(d\) doesn't match .* \(c\)"):
        site.herder.create("c", {**SOURCE, "name": "d"}, None)
    assert site.herder.connectors() == []


def test_a_connector_that_cannot_start_is_there_and_failed(site: Site) -> None:
    site.source.connector_error = ConnectError("no database")
    site.herder.create("c", SOURCE, None)
    assert site.states() == ("FAILED", [])
    assert "no database" in (site.status().connector.trace or "")
    with pytest.raises(ConnectError, match="Failed to start connector: c: no database"):
        site.herder.restart("c")
    site.source.connector_error = None
    site.herder.restart("c")
    running(site)


def test_pausing_keeps_a_failed_connector_failed(site: Site) -> None:
    site.source.connector_error = ConnectError("no database")
    site.herder.create("c", SOURCE, None)
    site.herder.set_target("c", Target.PAUSED)
    site.herder.set_target("c", Target.STARTED)
    assert site.states() == ("FAILED", [])


def test_a_stopped_connector_has_no_tasks_and_gets_them_back(site: Site) -> None:
    site.herder.create("c", SOURCE, None)
    running(site)
    site.herder.set_target("c", Target.STOPPED)
    assert site.states() == ("STOPPED", [])
    assert site.herder.tasks("c") == []
    site.herder.set_target("c", Target.STARTED)
    running(site)


def test_an_initial_state_holds_until_it_is_changed(site: Site) -> None:
    site.herder.create("c", SOURCE, Target.STOPPED)
    assert site.states() == ("STOPPED", [])
    site.herder.put_config("c", {**SOURCE, "more": "1"})
    assert site.states() == ("STOPPED", [])


def test_tasks_are_made_anew_when_the_configuration_changes(site: Site) -> None:
    site.herder.create("c", SOURCE, None)
    running(site)
    site.herder.patch_config("c", {"tasks.max": "2"})
    until(lambda: site.states() == ("RUNNING", ["RUNNING", "RUNNING"]), "two tasks")
    assert [task.config["tasks.max"] for task in site.herder.tasks("c")] == ["2", "2"]


def test_a_patch_removes_keys_and_never_renames(site: Site) -> None:
    site.herder.create("c", {**SOURCE, "a": "1"}, Target.STOPPED)
    assert "a" not in site.herder.patch_config("c", {"a": None, "b": "2"}).config
    with pytest.raises(BadRequest, match="doesn't match"):
        site.herder.patch_config("c", {"name": "d"})
    assert site.herder.config("c") == {**SOURCE, "name": "c", "b": "2"}


def test_restarting_parts_shows_what_restarts_and_does_it(site: Site) -> None:
    site.herder.create("c", SOURCE, None)
    running(site)
    site.source.emit()
    site.source.poll_errors = [ConnectError("bad day")]
    until(lambda: site.states() == ("RUNNING", ["FAILED"]), "the task to fail")
    answer = site.herder.restart_parts("c", include_tasks=True, only_failed=True)
    assert (answer.connector.state, answer.tasks[0].state) == ("RUNNING", "RESTARTING")
    assert "bad day" in (answer.tasks[0].trace or "")
    running(site)
    assert site.source.names().count("connector.start") == 1


def test_a_task_that_is_not_there_cannot_be_restarted(site: Site) -> None:
    with pytest.raises(NotFound, match="Unknown connector: c"):
        site.herder.restart_task("c", 0)
    site.herder.create("c", SOURCE, None)
    running(site)
    with pytest.raises(NotFound, match="Unknown task: c-7"):
        site.herder.restart_task("c", 7)
    assert site.states() == ("RUNNING", ["RUNNING"])


def test_a_connector_that_hangs_holds_up_nobody_else(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    begun, release = threading.Event(), threading.Event()
    start = ProbeSourceConnector.start

    def hang(self: ProbeSourceConnector, config: dict[str, str], context: object) -> None:
        if config["name"] == "slow":
            begun.set()
            release.wait(PATIENCE)
        start(self, config, context)  # type: ignore[arg-type]  # whatever the worker gave

    monkeypatch.setattr(ProbeSourceConnector, "start", hang)
    slow = threading.Thread(target=site.herder.create, args=("slow", SOURCE, None))
    slow.start()
    assert begun.wait(PATIENCE)
    site.herder.create("c", SOURCE, None)
    running(site)
    assert site.herder.responds(0)
    release.set()
    slow.join(PATIENCE)
    assert sorted(site.herder.connectors()) == ["c", "slow"]


def test_a_connector_that_cannot_make_tasks_yet_is_asked_again(site: Site) -> None:
    answers: list[Exception | None] = [RetriableError("not yet"), None]

    def configs(config: object, most: int) -> list[dict[str, str]]:
        error = answers.pop(0) if answers else None
        if error is not None:
            raise error
        return [{"part": "1"}]

    site.source.make_configs = configs
    site.herder.create("c", SOURCE, None)
    running(site)


def test_topics_that_were_forgotten_are_noted_when_they_are_used_again(site: Site) -> None:
    site.herder.create("c", SOURCE, None)
    site.source.emit(source_record("1"))
    until(lambda: site.herder.topics("c") == ["t"], "the topic to be noted")
    site.herder.reset_topics("c")
    assert site.herder.topics("c") == []
    site.source.emit(source_record("2"))
    until(lambda: site.herder.topics("c") == ["t"], "the topic to be noted again")


def test_topics_of_a_sink_that_were_forgotten_are_noted_again(site: Site) -> None:
    site.kafka.produce("t", b"1")
    site.herder.create("c", SINK, None)
    until(lambda: site.herder.topics("c") == ["t"], "the topic to be noted")
    site.herder.reset_topics("c")
    site.kafka.produce("t", b"2")
    until(lambda: site.herder.topics("c") == ["t"], "the topic to be noted again")


def test_offsets_change_only_while_the_connector_is_stopped(site: Site) -> None:
    site.herder.create("c", SOURCE, None)
    with pytest.raises(BadRequest, match="must be in the STOPPED state"):
        site.herder.alter_offsets("c", [({"p": 1}, {"at": 5})])
    site.herder.set_target("c", Target.STOPPED)
    assert "altered successfully" in site.herder.alter_offsets("c", [({"p": 1}, {"at": 5})])
    assert [(entry.partition, entry.offset) for entry in site.herder.offsets("c")] == [({"p": 1}, {"at": 5})]
    assert "reset successfully" in site.herder.reset_offsets("c")
    assert site.herder.offsets("c") == []


def test_deleting_leaves_nothing_but_offsets(site: Site) -> None:
    site.herder.create("c", SOURCE, None)
    site.source.emit(source_record("1", offset={"at": 1}))
    until(lambda: site.herder.topics("c") == ["t"], "the record to be sent")
    site.herder.delete("c")
    assert site.herder.connectors() == []
    assert site.herder.topics("c") == []
    for ask in (site.herder.status, site.herder.info, site.herder.delete):
        with pytest.raises(NotFound):
            ask("c")
    site.herder.create("c", SOURCE, Target.STOPPED)
    assert [entry.offset for entry in site.herder.offsets("c")] == [{"at": 1}]


def test_what_a_provider_says_reaches_the_tasks_and_nobody_else(tmp_path: Path) -> None:
    secrets = tmp_path / "secrets"
    secrets.write_text("password=hunter2")
    variable = f"${{file:{secrets}:password}}"
    provider = "org.apache.kafka.common.config.provider.FileConfigProvider"
    site = Site(properties={"config.providers": "file", "config.providers.file.class": provider})
    try:
        site.herder.create("c", {**SOURCE, "secret": variable}, None)
        running(site)
        assert site.herder.config("c")["secret"] == variable
        assert [task.config["secret"] for task in site.herder.tasks("c")] == [variable]
        assert [call[1]["secret"] for call in site.source.calls if call[0] == "start"] == ["hunter2"]
    finally:
        site.herder.stop()


def test_a_file_of_secrets_that_is_not_there_is_said_and_no_variable_becomes_a_password(tmp_path: Path) -> None:
    provider = "org.apache.kafka.common.config.provider.FileConfigProvider"
    site = Site(properties={"config.providers": "file", "config.providers.file.class": provider})
    try:
        with pytest.raises(BadRequest, match=f"Could not read properties from file {tmp_path}/none"):
            site.herder.create("c", {**SOURCE, "secret": f"${{file:{tmp_path}/none:password}}"}, None)
    finally:
        site.herder.stop()


def test_requests_are_refused_while_the_worker_shuts_down(site: Site) -> None:
    site.herder.stop()
    with pytest.raises(ConnectError, match="Worker is shutting down"):
        site.herder.create("c", SOURCE, None)
