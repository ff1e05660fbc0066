"""Settings of topics, brokers and groups: describing, replacing and changing them, and listing who has some."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import replace
from typing import Any, Final

from syncline.broker.configs import (
    BROKER,
    ELECTED_BY,
    GROUP,
    SMALL_SEGMENTS,
    TOPIC,
    ConfigType,
    Setting,
    Source,
    check_group_configs,
    check_topic_configs,
)
from syncline.broker.data_folder import NODE_ID
from syncline.broker.errors import (
    INVALID_CONFIG,
    INVALID_REQUEST,
    MALFORMED,
    NONE,
    UNKNOWN_SERVER_ERROR,
    UNKNOWN_TOPIC_OR_PARTITION,
    UNSUPPORTED_VERSION,
    KafkaError,
)
from syncline.broker.topics import check_topic_name
from syncline.broker.wire import Answer, Api, Context

TOPICS, BROKERS, LOGGERS, CLIENT_METRICS, GROUPS = 2, 4, 8, 16, 32
SET, DELETE, APPEND, SUBTRACT = 0, 1, 2, 3
METRICS: Final = frozenset({"interval.ms", "match", "metrics"})

Layer = tuple[str, str, Source]
"""Name, value and source of a setting in one place."""
Entry = dict[str, Any]


# -- describing ------------------------------------------------------------------------------


def describe_configs(broker: Any, request: Any, context: Context) -> Answer:
    results = []
    for resource in request.resources:
        answer: dict[str, Any] = {
            "resource_type": resource.resource_type,
            "resource_name": resource.resource_name,
            "error_code": NONE,
            "error_message": "",
            "configs": [],
        }
        try:
            wanted = resource.configuration_keys
            answer["configs"] = [
                _shown(entry, request)
                for entry in _entries(broker, resource.resource_type, resource.resource_name)
                if not wanted or entry["name"] in wanted
            ]
        except KafkaError as exc:
            answer.update(error_code=exc.code, error_message=exc.message or "")
        results.append(answer)
    return {"results": results}


def _shown(entry: Entry, request: Any) -> Entry:
    """An entry with as much as was asked for."""
    return {
        **entry,
        "synonyms": entry["synonyms"] if request.include_synonyms else [],
        "documentation": entry["documentation"] if getattr(request, "include_documentation", False) else None,
    }


def _entries(broker: Any, kind: int, name: str) -> list[Entry]:
    if kind == TOPICS:
        return _of_topic(broker, name)
    if kind == BROKERS:
        return _of_broker(broker, name)
    if kind == GROUPS:
        if not name:
            raise KafkaError(INVALID_REQUEST, "Group name must not be empty")
        return [_of_group(broker, name, setting) for setting in GROUP.values()]
    if kind == LOGGERS:
        if not name:
            raise KafkaError(INVALID_REQUEST, "Broker id must not be empty")
        _check_id(
            name, "Broker id must be an integer, but it is: {}", "Unexpected broker id, expected {}, but received {}"
        )
        return []
    if kind == CLIENT_METRICS:
        if not name:
            raise KafkaError(INVALID_REQUEST, "Client metrics subscription name must not be empty")
        return []
    raise KafkaError(INVALID_REQUEST, MALFORMED)


def _of_topic(broker: Any, name: str) -> list[Entry]:
    check_topic_name(name)
    topic = broker.topics.get(name)
    if topic is None:
        raise KafkaError(UNKNOWN_TOPIC_OR_PARTITION, "")
    return topic_entries(broker, topic.configs)


def topic_entries(broker: Any, own: Mapping[str, str]) -> list[Entry]:
    """All settings of a topic that has these of its own."""
    found = []
    for setting in TOPIC.values():
        layers = broker.settings.layers(setting.synonym) if setting.synonym is not None else []
        value = broker.settings.topic_default(setting)
        if setting.name in own:
            value = setting.canonical(own[setting.name])
            layers = [(setting.name, value, Source.TOPIC), *layers]
        found.append(_entry(setting, value, layers))
    if SMALL_SEGMENTS.name in own:
        value = own[SMALL_SEGMENTS.name]
        found.append(_entry(SMALL_SEGMENTS, value, [(SMALL_SEGMENTS.name, value, Source.TOPIC)]))
    return found


def _of_broker(broker: Any, name: str) -> list[Entry]:
    settings = broker.settings
    if not name:
        # All brokers together: what was set for them all while they run.
        return [
            _entry(setting, value, [(key, value, Source.CLUSTER)], read_only=not setting.dynamic)
            for key, value in settings.of_cluster.items()
            for setting in (_known(key),)
        ]
    _check_id(
        name,
        "Broker id must be an integer, but it is: {}",
        "Unexpected broker id, expected {} or empty string, but received {}",
    )
    unknown = {key for layer in (settings.of_cluster, settings.of_broker) for key in layer if key not in BROKER}
    found = []
    for setting in (*BROKER.values(), *map(_known, sorted(unknown))):
        layers = [
            (key, _known(key).canonical(value), source)
            for key, value, source in settings.layers(setting.name)
            if key == setting.name
        ]
        found.append(_entry(setting, layers[0][1] if layers else None, layers, read_only=not setting.dynamic))
    return found


def _known(name: str) -> Setting:
    """A setting of the broker. Of one that is not known anything may be secret."""
    return BROKER.get(name) or Setting(name, ConfigType.UNKNOWN, None)


def _of_group(broker: Any, group: str, setting: Setting) -> Entry:
    own = broker.settings.of_group.get(group, {}).get(setting.name)
    value = str(broker.settings.for_group(group, setting.name))
    return _entry(setting, value, [(setting.name, value, Source.DEFAULT if own is None else Source.GROUP)])


def _entry(setting: Setting, value: str | None, layers: list[Layer], *, read_only: bool = False) -> Entry:
    source = layers[0][2] if layers else Source.DEFAULT
    return {
        "name": setting.name,
        "value": None if setting.secret else value,
        "read_only": read_only,
        "config_source": int(source),
        "is_default": source is Source.DEFAULT,
        "is_sensitive": setting.secret,
        "synonyms": [
            {"name": name, "value": None if setting.secret else text, "source": int(origin)}
            for name, text, origin in layers
        ],
        "config_type": int(setting.kind),
        "documentation": None if setting.kind is ConfigType.UNKNOWN else setting.documentation,
    }


def _check_id(name: str, no_number: str, another: str) -> None:
    """KafkaError unless it is this broker's id."""
    try:
        number = int(name)
    except ValueError:
        raise KafkaError(INVALID_REQUEST, no_number.format(name)) from None
    if number != NODE_ID:
        raise KafkaError(INVALID_REQUEST, another.format(NODE_ID, name))


# -- changing --------------------------------------------------------------------------------

Change = Callable[[Any, Mapping[str, str], Mapping[str, Setting], Callable[[str], str]], dict[str, str]]
"""From the resource of a request, what is set now, the settings there are and their values, to what is to be set."""


def alter_configs(broker: Any, request: Any, context: Context) -> Answer:
    return _alter(broker, request, _replaced, frozenset({TOPICS, BROKERS, CLIENT_METRICS, GROUPS}))


def incremental_alter_configs(broker: Any, request: Any, context: Context) -> Answer:
    return _alter(broker, request, _changed, frozenset({TOPICS, BROKERS, LOGGERS, CLIENT_METRICS, GROUPS}))


def _alter(broker: Any, request: Any, change: Change, kinds: Collection[int]) -> Answer:
    asked = [(resource.resource_type, resource.resource_name) for resource in request.resources]
    responses = []
    for resource in request.resources:
        kind, name = resource.resource_type, resource.resource_name
        code, message = NONE, None
        try:
            if asked.count((kind, name)) > 1:
                raise KafkaError(INVALID_REQUEST, "Each resource must appear at most once.")
            if kind not in kinds:
                raise KafkaError(INVALID_REQUEST, f"Unknown resource type {kind}")
            _check_keys(resource.configs)
            _ALTER[kind](broker, resource, change, validate_only=request.validate_only)
        except KafkaError as exc:
            code, message = exc.code, exc.message
        responses.append(
            {"resource_type": kind, "resource_name": name, "error_code": code, "error_message": message},
        )
    return {"responses": responses}


def _check_keys(configs: Any) -> None:
    names = [config.name for config in configs]
    if len(set(names)) < len(names):
        raise KafkaError(INVALID_REQUEST, "Error due to duplicate config keys")
    nothing = [c.name for c in configs if c.value is None and getattr(c, "config_operation", SET) != DELETE]
    if nothing:
        raise KafkaError(INVALID_REQUEST, f"Null value not supported for : {', '.join(nothing)}")


def _replaced(
    resource: Any, present: Mapping[str, str], settings: Mapping[str, Setting], value: Callable[[str], str]
) -> dict[str, str]:
    return {config.name: config.value for config in resource.configs}


def _changed(
    resource: Any, present: Mapping[str, str], settings: Mapping[str, Setting], value: Callable[[str], str]
) -> dict[str, str]:
    configs = dict(present)
    for config in resource.configs:
        operation = config.config_operation
        if operation == DELETE:
            configs.pop(config.name, None)
        elif operation == SET:
            configs[config.name] = config.value
        elif operation in (APPEND, SUBTRACT):
            setting = settings.get(config.name)
            if setting is None or setting.kind is not ConfigType.LIST:
                verb = "APPEND" if operation == APPEND else "SUBTRACT"
                raise KafkaError(INVALID_CONFIG, f"Can't {verb} to key {config.name} because its type is not LIST.")
            parts = [part for part in value(config.name).split(",") if part]
            given = [part.strip() for part in config.value.split(",") if part.strip()]
            if operation == APPEND:
                parts += [part for part in given if part not in parts]
            else:
                parts = [part for part in parts if part not in given]
            configs[config.name] = ",".join(parts)
        else:
            raise KafkaError(UNKNOWN_SERVER_ERROR)
    return configs


def _alter_topic(broker: Any, resource: Any, change: Change, *, validate_only: bool) -> None:
    if not resource.resource_name:
        raise KafkaError(INVALID_REQUEST, "Default topic resources are not allowed.")
    topic = broker.topics.get(resource.resource_name)
    if topic is None:
        raise KafkaError(UNKNOWN_TOPIC_OR_PARTITION, f"The topic '{resource.resource_name}' does not exist.")
    configs = change(resource, topic.configs, TOPIC, lambda name: broker.topics.config(topic, name))
    check_topic_configs(configs, broker.settings)
    if not validate_only and configs != topic.configs:
        broker.topics.configure(topic, configs)


def _alter_broker(broker: Any, resource: Any, change: Change, *, validate_only: bool) -> None:
    name = resource.resource_name
    if name:
        _check_id(
            name,
            "Node id must be an integer, but it is: {}",
            "Unexpected broker id, expected {}, but received {}",
        )
    present = broker.settings.of_broker if name else broker.settings.of_cluster
    configs = change(resource, present, BROKER, broker.settings.text)
    fixed = [key for key in configs if key in BROKER and not BROKER[key].dynamic and configs[key] != present.get(key)]
    fixed += [key for key in configs if key in _NEVER - BROKER.keys() or key.startswith("listener.name.")]
    if fixed:
        raise KafkaError(INVALID_REQUEST, f"Cannot update these configs dynamically: Set({', '.join(fixed)})")
    if name and ELECTED_BY in configs:
        raise KafkaError(INVALID_CONFIG, f"Broker-level {ELECTED_BY} cannot be altered while ELR is enabled.")
    if not name and ELECTED_BY not in configs:
        raise KafkaError(INVALID_CONFIG, f"Cluster-level {ELECTED_BY} cannot be removed while ELR is enabled.")
    for key, value in configs.items():
        if key in BROKER:
            try:
                _check_dynamic(BROKER[key], value)
            except KafkaError as exc:
                raise KafkaError(INVALID_REQUEST, exc.message) from exc
    if not validate_only:
        broker.store_settings("broker", name, configs)


_NEVER: Final = frozenset({"node.id", "broker.id", "log.dir", "log.dirs", "process.roles"})
"""Settings of Apache Kafka that have no place among ours, and none among those that change while it runs."""


def _check_dynamic(setting: Setting, value: str) -> None:
    # Small segments may be given at the start alone: see the table of settings.
    rule = replace(setting, check=TOPIC["segment.bytes"].check) if setting.name == "log.segment.bytes" else setting
    rule.validate(value)


def _alter_group(broker: Any, resource: Any, change: Change, *, validate_only: bool) -> None:
    name = resource.resource_name
    if not name:
        raise KafkaError(INVALID_REQUEST, "Default group resources are not allowed.")
    present = broker.settings.of_group.get(name, {})
    configs = change(resource, present, GROUP, lambda key: str(broker.settings.for_group(name, key)))
    check_group_configs(configs, broker.settings)
    if not validate_only:
        broker.store_settings("group", name, configs)


def _alter_logger(broker: Any, resource: Any, change: Change, *, validate_only: bool) -> None:
    _check_id(
        resource.resource_name,
        "Node id must be an integer, but it is: {}",
        "Unexpected broker id, expected {}, but received {}",
    )
    for config in resource.configs:
        raise KafkaError(INVALID_CONFIG, f"Logger {config.name} does not exist!")


def _alter_metrics(broker: Any, resource: Any, change: Change, *, validate_only: bool) -> None:
    if not resource.resource_name:
        raise KafkaError(INVALID_REQUEST, "Subscription name can't be empty")
    for config in resource.configs:
        if config.name not in METRICS:
            raise KafkaError(INVALID_REQUEST, f"Unknown client metrics configuration: {config.name}")
    raise KafkaError(INVALID_REQUEST, "this broker takes no metrics from clients")


_ALTER: Final[Mapping[int, Callable[..., None]]] = {
    TOPICS: _alter_topic,
    BROKERS: _alter_broker,
    LOGGERS: _alter_logger,
    CLIENT_METRICS: _alter_metrics,
    GROUPS: _alter_group,
}


# -- listing ---------------------------------------------------------------------------------


def list_config_resources(broker: Any, request: Any, context: Context) -> Answer:
    """All that may have settings; version 0 asked for subscriptions to clients' metrics, of which there are none."""
    kinds = list(getattr(request, "resource_types", None) or ()) if context.api_version else [CLIENT_METRICS]
    names: Mapping[int, Callable[[], list[str]]] = {
        TOPICS: lambda: [topic.name for topic in broker.topics],
        BROKERS: lambda: [str(NODE_ID)],
        LOGGERS: lambda: [str(NODE_ID)],
        CLIENT_METRICS: lambda: [],
        GROUPS: lambda: list(broker.settings.of_group),
    }
    if not set(kinds) <= names.keys():
        return {"error_code": UNSUPPORTED_VERSION, "config_resources": []}
    resources = [{"resource_type": kind, "resource_name": name} for kind in kinds or names for name in names[kind]()]
    return {"error_code": NONE, "config_resources": resources}


APIS = (
    Api(32, 1, 4, describe_configs),
    Api(33, 0, 2, alter_configs),
    Api(44, 0, 1, incremental_alter_configs),
    Api(74, 0, 1, list_config_resources),
)
