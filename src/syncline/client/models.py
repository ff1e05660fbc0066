"""Kafka Connect's JSON bodies, member for member; shared by the REST server, the client and whoever shows them.

Members that a JVM worker leaves out in some versions have a default, so that answers of any worker decode.
"""

from __future__ import annotations

from typing import Any

import msgspec
from msgspec import UNSET, UnsetType


class ServerInfo(msgspec.Struct, frozen=True):
    """`GET /`."""

    version: str
    """Begins with `<major>.<minor>` as integers; clients switch features on by it."""
    commit: str
    kafka_cluster_id: str | None


class Health(msgspec.Struct, frozen=True):
    """`GET /health`: status is healthy, starting or unhealthy."""

    status: str
    message: str


class ErrorMessage(msgspec.Struct, frozen=True):
    """Body of every error; `error_code` is the HTTP status."""

    error_code: int
    message: str


class Message(msgspec.Struct, frozen=True):
    """The answer to a change of offsets."""

    message: str


class ConnectorTaskId(msgspec.Struct, frozen=True):
    """A task, as bodies name it."""

    connector: str
    task: int


class ConnectorInfo(msgspec.Struct, frozen=True):
    """A connector's raw configuration and its tasks; type is source, sink or unknown."""

    name: str
    config: dict[str, str]
    tasks: list[ConnectorTaskId]
    type: str = "unknown"


class ConnectorState(msgspec.Struct, frozen=True, omit_defaults=True):
    """State of a connector instance."""

    state: str
    worker_id: str
    version: str | UnsetType | None = UNSET
    """Of the plug-in; null while the part is not placed, unset from workers before 4.1."""
    trace: str | None = None
    """A Java-shaped stack trace; left out when there is none."""


class TaskState(msgspec.Struct, frozen=True, omit_defaults=True):
    """State of one task."""

    id: int
    state: str
    worker_id: str
    version: str | UnsetType | None = UNSET
    trace: str | None = None


class ConnectorStateInfo(msgspec.Struct, frozen=True):
    """`GET /connectors/X/status`; tasks by id."""

    name: str
    connector: ConnectorState
    tasks: list[TaskState]
    type: str = "unknown"


class ConnectorExpansion(msgspec.Struct, frozen=True, omit_defaults=True):
    """One connector in `GET /connectors?expand=...`."""

    status: ConnectorStateInfo | None = None
    info: ConnectorInfo | None = None


class TaskInfo(msgspec.Struct, frozen=True):
    """One task in `GET /connectors/X/tasks`; variables are not resolved."""

    id: ConnectorTaskId
    config: dict[str, str]


class ActiveTopics(msgspec.Struct, frozen=True):
    """Topics a connector has used; `GET /connectors/X/topics` maps the name to it."""

    topics: list[str]


class ConnectorOffset(msgspec.Struct, frozen=True):
    """Where a connector stands in one partition; both are flat objects."""

    partition: dict[str, Any]
    offset: dict[str, Any] | None
    """In a request None resets the partition."""


class ConnectorOffsets(msgspec.Struct, frozen=True):
    """`GET` and `PATCH /connectors/X/offsets`."""

    offsets: list[ConnectorOffset]


class PluginInfo(msgspec.Struct, frozen=True, omit_defaults=True):
    """One plug-in in `GET /connector-plugins`."""

    java_class: str = msgspec.field(name="class")
    type: str
    version: str | None = None


class ConfigKeyInfo(msgspec.Struct, frozen=True):
    """What an option is."""

    name: str
    type: str
    required: bool
    default_value: str | None
    importance: str
    documentation: str
    group: str | None
    width: str
    display_name: str
    dependents: list[str]
    order: int


class ConfigValueInfo(msgspec.Struct, frozen=True):
    """What a configuration says for an option, and what is wrong with that."""

    name: str
    value: str | None
    recommended_values: list[str]
    errors: list[str]
    visible: bool


class ConfigInfo(msgspec.Struct, frozen=True):
    """An option with its value; no definition for a key that nobody declared."""

    definition: ConfigKeyInfo | None
    value: ConfigValueInfo


class ConfigInfos(msgspec.Struct, frozen=True):
    """`PUT /connector-plugins/P/config/validate`; `name` is the class as it was sent."""

    name: str
    error_count: int
    groups: list[str]
    configs: list[ConfigInfo]


class LoggerLevel(msgspec.Struct, frozen=True):
    """One logger in `GET /admin/loggers`."""

    level: str
    last_modified: int | None
    """Milliseconds since the epoch."""
