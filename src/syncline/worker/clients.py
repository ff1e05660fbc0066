"""The Kafka clients of connectors: which settings each gets, and whose count (spec/connect.md 5.2)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from syncline.ids import ConnectorName, TaskId
from syncline.kafka.ports import Admin, Consumer, Kafka, Producer
from syncline.worker.settings import WorkerSettings

Config = Mapping[str, str]

SINK_POLL_RECORDS: Final = "5000"
"""Records per read of a sink: large, because a database takes rows in bulk best."""


class Clients:
    """Makes clients for connectors: our defaults, then the worker's, then the connector's overrides."""

    def __init__(self, settings: WorkerSettings, kafka: Kafka) -> None:
        self._settings = settings
        self._kafka = kafka

    def sink_properties(self, task: TaskId, config: Config) -> dict[str, str]:
        """Settings of a sink task's consumer."""
        return {
            "group.id": group_of(task.connector),
            "client.id": f"connector-consumer-{task}",
            "max.poll.records": SINK_POLL_RECORDS,
            **self._settings.client("consumer"),
            **overrides(config, "consumer"),
        }

    def sink_consumer(self, task: TaskId, config: Config) -> Consumer:
        return self._kafka.consumer(self.sink_properties(task, config))

    def rereading_consumer(self, task: TaskId, config: Config) -> Consumer:
        """A consumer beside the task's own, for single records; it joins no group."""
        wanted = {**self.sink_properties(task, config), "client.id": f"connector-consumer-{task}-reread"}
        wanted.pop("group.instance.id", None)
        wanted.pop("group.protocol", None)
        return self._kafka.consumer(wanted)

    def source_producer(self, task: TaskId, config: Config) -> Producer:
        return self._producer(config, f"connector-producer-{task}")

    def dead_letter_producer(self, task: TaskId, config: Config) -> Producer:
        return self._producer(config, f"connector-dlq-producer-{task}")

    def _producer(self, config: Config, client_id: str) -> Producer:
        return self._kafka.producer(
            {"client.id": client_id, **self._settings.client("producer"), **overrides(config, "producer")}
        )

    def admin(self, config: Config, task: TaskId | None = None) -> Admin:
        """For a task, or for the connector as a whole."""
        named = {} if task is None else {"client.id": f"connector-adminclient-{task}"}
        return self._kafka.admin({**named, **self._settings.client("admin"), **overrides(config, "admin")})


def overrides(config: Config, client: str) -> dict[str, str]:
    """A connector's own settings for a client, from its keys `<client>.override.*`."""
    prefix = f"{client}.override."
    return {key.removeprefix(prefix): value for key, value in config.items() if key.startswith(prefix)}


def group_of(name: ConnectorName) -> str:
    """The consumer group of a sink connector that does not override it."""
    return f"connect-{name}"


def sink_group(name: ConnectorName, config: Config) -> str:
    """The consumer group of a sink connector."""
    return config.get("consumer.override.group.id") or group_of(name)
