"""Errors of the Kafka client library as errors of our own."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final, TypeVar

from confluent_kafka import KafkaError, KafkaException

from syncline.errors import ConfigError, ConnectError, RetriableError

T = TypeVar("T")


class GroupNotEmpty(ConnectError):
    """The group still has members, so its offsets cannot be changed from outside."""

    java_class = "org.apache.kafka.common.errors.GroupNotEmptyException"


class RecordTooLarge(ConnectError):
    """The record exceeds what client or broker takes."""

    java_class = "org.apache.kafka.common.errors.RecordTooLargeException"


class TopicExists(ConnectError):
    """A topic of that name is there already."""

    java_class = "org.apache.kafka.common.errors.TopicExistsException"


class UnknownTopic(ConnectError):
    """No topic, or no partition, of that name."""

    java_class = "org.apache.kafka.common.errors.UnknownTopicOrPartitionException"


class AccessDenied(ConnectError):
    """The cluster does not let this client do that, or does not know it."""

    java_class = "org.apache.kafka.common.errors.AuthorizationException"


class InvalidSetting(ConnectError):
    """The cluster does not take a setting, or its value."""

    java_class = "org.apache.kafka.common.errors.InvalidConfigurationException"


_KINDS: Final[dict[int, type[ConnectError]]] = {
    KafkaError.NON_EMPTY_GROUP: GroupNotEmpty,
    KafkaError.MSG_SIZE_TOO_LARGE: RecordTooLarge,
    KafkaError.TOPIC_ALREADY_EXISTS: TopicExists,
    KafkaError.INVALID_CONFIG: InvalidSetting,
    KafkaError.UNKNOWN_TOPIC_OR_PART: UnknownTopic,
    KafkaError._UNKNOWN_TOPIC: UnknownTopic,
    KafkaError._UNKNOWN_PARTITION: UnknownTopic,
    KafkaError.TOPIC_AUTHORIZATION_FAILED: AccessDenied,
    KafkaError.GROUP_AUTHORIZATION_FAILED: AccessDenied,
    KafkaError.CLUSTER_AUTHORIZATION_FAILED: AccessDenied,
    KafkaError.TRANSACTIONAL_ID_AUTHORIZATION_FAILED: AccessDenied,
    KafkaError._AUTHENTICATION: AccessDenied,
    KafkaError.SASL_AUTHENTICATION_FAILED: AccessDenied,
}

_TRANSIENT: Final = frozenset(
    {
        KafkaError._TRANSPORT,
        KafkaError._ALL_BROKERS_DOWN,
        KafkaError._RESOLVE,
        KafkaError._TIMED_OUT,
        KafkaError._TIMED_OUT_QUEUE,
        KafkaError._MSG_TIMED_OUT,
        KafkaError._WAIT_COORD,
        KafkaError._WAIT_CACHE,
        KafkaError._IN_PROGRESS,
        KafkaError._PREV_IN_PROGRESS,
        KafkaError._STATE,
        KafkaError.REQUEST_TIMED_OUT,
        KafkaError.LEADER_NOT_AVAILABLE,
        KafkaError.NOT_LEADER_FOR_PARTITION,
        KafkaError.BROKER_NOT_AVAILABLE,
        KafkaError.NETWORK_EXCEPTION,
        KafkaError.COORDINATOR_LOAD_IN_PROGRESS,
        KafkaError.COORDINATOR_NOT_AVAILABLE,
        KafkaError.NOT_COORDINATOR,
        KafkaError.NOT_ENOUGH_REPLICAS,
        KafkaError.NOT_ENOUGH_REPLICAS_AFTER_APPEND,
        KafkaError.REBALANCE_IN_PROGRESS,
        KafkaError.ILLEGAL_GENERATION,
        KafkaError.UNKNOWN_MEMBER_ID,
        KafkaError._ASSIGNMENT_LOST,
    }
)
"""What may go away by itself, also where librdkafka's own flag does not say so."""


def translated(error: KafkaError) -> ConnectError:
    """`error` as ConnectError, or as RetriableError when the same call may succeed later."""
    kind = _KINDS.get(error.code())
    if kind is None:
        passing = error.code() in _TRANSIENT or (error.retriable() and not error.fatal())
        kind = RetriableError if passing else ConnectError
    return kind(f"{error.name()}: {error.str()}")


def calling(call: Callable[[], T]) -> T:
    """The result of `call`, whose KafkaException becomes one of our errors."""
    try:
        return call()
    except KafkaException as exc:
        raise translated(exc.args[0]) from exc
    except SystemError as exc:
        # A fatal error is raised while callbacks are served; if another callback follows, Python complains of it.
        if isinstance(exc.__cause__, KafkaException):
            raise translated(exc.__cause__.args[0]) from exc
        raise


def making(call: Callable[[], T]) -> T:
    """A client made by `call`; a setting the library refuses becomes a ConfigError."""
    try:
        return call()
    except KafkaException as exc:
        error: Any = exc.args[0]
        raise ConfigError(f"the Kafka client cannot be made: {error.str()}") from exc
    except (TypeError, ValueError) as exc:
        raise ConfigError(f"the Kafka client cannot be made: {exc}") from exc
