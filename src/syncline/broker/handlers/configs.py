"""DescribeConfigs, AlterConfigs, IncrementalAlterConfigs: settings of topics and of the broker."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from syncline.broker.configs import BROKER, TOPIC, Setting
from syncline.broker.errors import (
    INVALID_CONFIG,
    INVALID_REQUEST,
    NONE,
    UNKNOWN_TOPIC_OR_PARTITION,
    KafkaError,
)
from syncline.broker.topics import Topic
from syncline.broker.wire import Answer, Api, Context

TOPIC_RESOURCE, BROKER_RESOURCE = 2, 4
SET, DELETE, APPEND, SUBTRACT = 0, 1, 2, 3
OWN, STATIC, DEFAULT = 1, 4, 5


def describe_configs(broker: Any, request: Any, context: Context) -> Answer:
    results = []
    for resource in request.resources:
        answer: dict[str, Any] = {
            "resource_type": resource.resource_type,
            "resource_name": resource.resource_name,
            "error_code": NONE,
            "error_message": None,
            "configs": [],
        }
        try:
            entries = _entries(broker, resource)
        except KafkaError as exc:
            answer.update(error_code=exc.code, error_message=exc.message)
        else:
            wanted = resource.configuration_keys
            answer["configs"] = [e for e in entries if wanted is None or e["name"] in wanted]
        results.append(answer)
    return {"results": results}


def _entries(broker: Any, resource: Any) -> list[dict[str, Any]]:
    if resource.resource_type == TOPIC_RESOURCE:
        topic = _topic(broker, resource.resource_name)
        return [
            _entry(s, broker.topics.config(topic, s.name), OWN if s.name in topic.configs else DEFAULT)
            for s in TOPIC.values()
        ]
    if resource.resource_type == BROKER_RESOURCE:
        given = broker.settings.given
        return [
            _entry(s, broker.settings.text(s.name), STATIC if s.name in given else DEFAULT, read_only=True)
            for s in BROKER.values()
        ]
    raise KafkaError(INVALID_REQUEST, f"Unsupported resource type {resource.resource_type}")


def _entry(setting: Setting, value: str, source: int, *, read_only: bool = False) -> dict[str, Any]:
    return {
        "name": setting.name,
        "value": None if setting.secret else value,
        "read_only": read_only,
        "config_source": source,
        "is_default": source == DEFAULT,
        "is_sensitive": setting.secret,
        "synonyms": [],
        "config_type": int(setting.kind),
        "documentation": None,
    }


def _topic(broker: Any, name: str) -> Topic:
    topic: Topic | None = broker.topics.get(name)
    if topic is None:
        raise KafkaError(UNKNOWN_TOPIC_OR_PARTITION, f"The topic '{name}' does not exist.")
    return topic


def alter_configs(broker: Any, request: Any, context: Context) -> Answer:
    def replaced(topic: Topic, resource: Any) -> dict[str, str]:
        return {config.name: config.value for config in resource.configs if config.value is not None}

    return _alter(broker, request, replaced)


def incremental_alter_configs(broker: Any, request: Any, context: Context) -> Answer:
    def changed(topic: Topic, resource: Any) -> dict[str, str]:
        configs = dict(topic.configs)
        for config in resource.configs:
            _change(broker, topic, configs, config)
        return configs

    return _alter(broker, request, changed)


def _change(broker: Any, topic: Topic, configs: dict[str, str], config: Any) -> None:
    if config.name not in TOPIC:
        raise KafkaError(INVALID_CONFIG, f"Unknown topic config name: {config.name}")
    if config.config_operation == DELETE:
        configs.pop(config.name, None)
        return
    if config.value is None:
        raise KafkaError(INVALID_REQUEST, f"Null value not supported for : {config.name}")
    if config.config_operation == SET:
        configs[config.name] = config.value
        return
    current = [part for part in broker.topics.config(topic, config.name).split(",") if part]
    given = [part for part in config.value.split(",") if part]
    if config.config_operation == APPEND:
        current += [part for part in given if part not in current]
    else:
        current = [part for part in current if part not in given]
    configs[config.name] = ",".join(current)


def _alter(broker: Any, request: Any, new: Callable[[Topic, Any], dict[str, str]]) -> Answer:
    responses = []
    for resource in request.resources:
        answer: dict[str, Any] = {
            "resource_type": resource.resource_type,
            "resource_name": resource.resource_name,
            "error_code": NONE,
            "error_message": None,
        }
        try:
            if resource.resource_type != TOPIC_RESOURCE:
                raise KafkaError(INVALID_REQUEST, "settings of the broker are given at its start")
            topic = _topic(broker, resource.resource_name)
            configs = new(topic, resource)
            if not request.validate_only:
                broker.topics.configure(topic, configs)
        except KafkaError as exc:
            answer.update(error_code=exc.code, error_message=exc.message)
        responses.append(answer)
    return {"responses": responses}


APIS = (
    Api(32, 1, 4, describe_configs),
    Api(33, 0, 2, alter_configs),
    Api(44, 0, 1, incremental_alter_configs),
)
