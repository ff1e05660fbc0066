"""Conversations about topics and the cluster: versions, metadata, making, growing and deleting topics."""

from __future__ import annotations

import time
from typing import Any
from uuid import UUID

from tests.integration.broker.differential.talk import (
    API_VERSIONS,
    CREATE_PARTITIONS,
    CREATE_TOPICS,
    DELETE_TOPICS,
    DESCRIBE_CLUSTER,
    DESCRIBE_TOPIC_PARTITIONS,
    METADATA,
    Talk,
    conversation,
)

NOBODY = UUID("01234567-89ab-cdef-0123-456789abcdef")

# -- ApiVersions -----------------------------------------------------------------------------

for _version in range(5):

    @conversation(f"api versions v{_version}")
    def _(talk: Talk, version: int = _version) -> None:
        asked = {"client_software_name": "talk", "client_software_version": "1"}
        answer = talk.quietly(API_VERSIONS, version, **asked)
        talk.note("error", answer.error_code)
        talk.note("apis", {str(api.api_key): [api.min_version, api.max_version] for api in answer.api_keys})


@conversation("api versions of a client without a name")
def _(talk: Talk) -> None:
    for name, version in (("", "1"), ("talk", ""), ("t a", "1"), ("-t", "1"), ("t-", "1"), ("t.1-a", "1.0-SNAPSHOT")):
        answer = talk.quietly(API_VERSIONS, 3, client_software_name=name, client_software_version=version)
        talk.note(f"{name}/{version}", answer if isinstance(answer, str) else answer.error_code)


@conversation("api versions from the future")
def _(talk: Talk) -> None:
    talk.client.send_header(API_VERSIONS, 99)
    answer = talk.client.receive(API_VERSIONS, 0)
    talk.note("error", answer.error_code)
    talk.note("apis", [[api.min_version, api.max_version] for api in answer.api_keys if api.api_key == API_VERSIONS])


@conversation("a version that nobody serves")
def _(talk: Talk) -> None:
    for key in (METADATA, CREATE_TOPICS, 999):
        talk.client.send_header(key, 99)
        try:
            talk.client.receive(METADATA, 0)
        except ConnectionError:
            talk.note(str(key), "closed")
        talk.reconnect()


# -- Metadata --------------------------------------------------------------------------------

for _version in range(14):

    @conversation(f"metadata by name v{_version}")
    def _(talk: Talk, version: int = _version) -> None:
        name = talk.topic(partitions=2)
        names = [{"name": name}, {"name": f"{name}-unknown"}, {"name": "bad name!"}, {"name": ""}]
        for each in names:
            talk.ask(METADATA, version, topics=[each], allow_auto_topic_creation=False)

    @conversation(f"metadata of all and of none v{_version}")
    def _(talk: Talk, version: int = _version) -> None:
        talk.whole = True
        talk.topic()
        talk.topic("-b", partitions=3)
        talk.ask(METADATA, version, topics=[], allow_auto_topic_creation=False)
        if version >= 1:
            talk.ask(METADATA, version, topics=None, allow_auto_topic_creation=False)


for _version in (10, 11, 12, 13):

    @conversation(f"metadata by id v{_version}")
    def _(talk: Talk, version: int = _version) -> None:
        name = talk.topic(partitions=2)
        known = talk.topic_id(name)
        for each in (known, NOBODY):
            talk.ask(METADATA, version, topics=[{"name": None, "topic_id": each}], allow_auto_topic_creation=False)
        talk.ask(METADATA, version, topics=[{"name": None, "topic_id": None}], allow_auto_topic_creation=False)
        both = [{"name": name, "topic_id": None}, {"name": None, "topic_id": known}]
        talk.ask(METADATA, version, topics=both, allow_auto_topic_creation=False)
        talk.ask(METADATA, version, topics=[{"name": name, "topic_id": known}], allow_auto_topic_creation=False)


for _version in (0, 3, 4, 9, 12):

    @conversation(f"metadata that creates v{_version}")
    def _(talk: Talk, version: int = _version) -> None:
        name = f"{talk.prefix}-new"
        answer = talk.quietly(METADATA, version, topics=[{"name": name}], allow_auto_topic_creation=True)
        # Apache Kafka answers before the topic is there: UNKNOWN_TOPIC_OR_PARTITION, then LEADER_NOT_AVAILABLE.
        talk.note("known at last", answer.topics[0].name)
        while talk.described(name).error_code:
            time.sleep(0.01)
        talk.ask(METADATA, version, topics=[{"name": name}], allow_auto_topic_creation=True)


@conversation("metadata that cannot create")
def _(talk: Talk) -> None:
    for name in ("a b", ".", "..", "x" * 250, "__consumer_offsets/"):
        talk.ask(METADATA, 12, topics=[{"name": name}], allow_auto_topic_creation=True)


@conversation("metadata of the same topic twice")
def _(talk: Talk) -> None:
    name = talk.topic()
    talk.ask(METADATA, 12, topics=[{"name": name}, {"name": name}], allow_auto_topic_creation=False)


@conversation("metadata with operations")
def _(talk: Talk) -> None:
    name = talk.topic()
    for version in (8, 9, 10, 12):
        talk.ask(
            METADATA,
            version,
            topics=[{"name": name}, {"name": "unknown-topic"}],
            allow_auto_topic_creation=False,
            include_topic_authorized_operations=True,
            include_cluster_authorized_operations=True,
        )


@conversation("metadata of internal topics")
def _(talk: Talk) -> None:
    talk.quietly(10, 2, key="someone", key_type=0)
    while talk.described("__consumer_offsets").error_code:
        time.sleep(0.01)
    answer = talk.quietly(METADATA, 12, topics=[{"name": "__consumer_offsets"}], allow_auto_topic_creation=False)
    topic = answer.topics[0]
    talk.note("offsets", [topic.error_code, topic.name, topic.is_internal, len(topic.partitions) > 0])


# -- CreateTopics ----------------------------------------------------------------------------


def create(talk: Talk, version: int = 7, **facts: Any) -> Any:
    """Ask for one topic; `facts` are those of the topic, and validate_only."""
    validate_only = facts.pop("validate_only", False)
    wanted = {"name": talk.prefix, "num_partitions": 1, "replication_factor": 1, **facts}
    return talk.ask(CREATE_TOPICS, version, topics=[wanted], timeout=10_000, validate_only=validate_only)


for _version in range(2, 8):

    @conversation(f"create a topic v{_version}")
    def _(talk: Talk, version: int = _version) -> None:
        bare(talk, create(talk, version, num_partitions=2))
        create(talk, version)
        bare(
            talk,
            create(talk, version, name=f"{talk.prefix}-c", configs=[{"name": "segment.bytes", "value": "2000000"}]),
        )

    @conversation(f"create with defaults v{_version}")
    def _(talk: Talk, version: int = _version) -> None:
        bare(talk, create(talk, version, num_partitions=-1, replication_factor=-1))

    @conversation(f"create but only validate v{_version}")
    def _(talk: Talk, version: int = _version) -> None:
        bare(talk, create(talk, version, validate_only=True))
        talk.note("made", talk.described(talk.prefix).error_code)


def bare(talk: Talk, answer: Any) -> None:
    """Leave out the long list of a new topic's settings: it has a conversation of its own."""
    for topic in talk.notes[-1][1]["topics"]:
        if topic.get("configs"):
            topic["configs"] = [each for each in topic["configs"] if each["config_source"] != 5]


@conversation("settings of a created topic")
def _(talk: Talk) -> None:
    settings = {"retention.ms": "1000", "cleanup.policy": "compact,delete", "max.message.bytes": "2000"}
    create(talk, configs=[{"name": name, "value": value} for name, value in settings.items()])


for _name, _facts in {
    "no partitions": {"num_partitions": 0},
    "fewer partitions than none": {"num_partitions": -2},
    "no replicas": {"replication_factor": 0},
    "fewer replicas than none": {"replication_factor": -2},
    "three replicas": {"replication_factor": 3},
    "too many replicas": {"replication_factor": 32767},
    "the name .": {"name": "."},
    "the name ..": {"name": ".."},
    "no name": {"name": ""},
    "a name with a space": {"name": "a b"},
    "a name with a slash": {"name": "a/b"},
    "a name with an umlaut": {"name": "straße"},
    "the longest name": {"name": "n" * 249},
    "a name that is too long": {"name": "n" * 250},
    "the name of an internal topic": {"name": "__cluster_metadata"},
    "an unknown setting": {"configs": [{"name": "no.such.setting", "value": "1"}]},
    "a setting of the broker": {"configs": [{"name": "log.retention.ms", "value": "1"}]},
    "a setting of null": {"configs": [{"name": "retention.ms", "value": None}]},
    "a setting that is no number": {"configs": [{"name": "retention.ms", "value": "soon"}]},
    "a setting that is too large": {"configs": [{"name": "segment.bytes", "value": "99999999999"}]},
    "a setting below its lowest": {"configs": [{"name": "segment.bytes", "value": "13"}]},
    "a segment below a megabyte": {"configs": [{"name": "segment.bytes", "value": "1048575"}]},
    "a policy that does not exist": {"configs": [{"name": "cleanup.policy", "value": "keep"}]},
    "a compression that does not exist": {"configs": [{"name": "compression.type", "value": "bzip2"}]},
    "a flag that is none": {"configs": [{"name": "preallocate", "value": "yes"}]},
    "a flag in capitals": {"configs": [{"name": "preallocate", "value": "TRUE"}]},
    "a ratio above one": {"configs": [{"name": "min.cleanable.dirty.ratio", "value": "1.5"}]},
    "blanks around a number": {"configs": [{"name": "retention.ms", "value": " 1000 "}]},
    "the same setting twice": {
        "configs": [{"name": "retention.ms", "value": "1"}, {"name": "retention.ms", "value": "2"}]
    },
    "lags that contradict": {
        "configs": [
            {"name": "min.compaction.lag.ms", "value": "100"},
            {"name": "max.compaction.lag.ms", "value": "10"},
        ]
    },
    "local retention beyond retention": {
        "configs": [{"name": "retention.ms", "value": "10"}, {"name": "local.retention.ms", "value": "100"}]
    },
    "remote storage": {"configs": [{"name": "remote.storage.enable", "value": "true"}]},
    "throttled replicas": {"configs": [{"name": "leader.replication.throttled.replicas", "value": "0:1,1:1"}]},
    "throttled nonsense": {"configs": [{"name": "leader.replication.throttled.replicas", "value": "zero"}]},
    "the time of a timestamp type": {"configs": [{"name": "message.timestamp.type", "value": "Created"}]},
    "gzip level": {"configs": [{"name": "compression.gzip.level", "value": "0"}]},
    "lz4 level": {"configs": [{"name": "compression.lz4.level", "value": "18"}]},
    "zstd level": {"configs": [{"name": "compression.zstd.level", "value": "23"}]},
    "assignments": {
        "num_partitions": -1,
        "replication_factor": -1,
        "assignments": [{"partition_index": number, "broker_ids": [1]} for number in (0, 1)],
    },
    "assignments and partitions": {"assignments": [{"partition_index": 0, "broker_ids": [1]}]},
    "assignments with a factor": {
        "num_partitions": -1,
        "assignments": [{"partition_index": 0, "broker_ids": [1]}],
    },
    "assignments with a gap": {
        "num_partitions": -1,
        "replication_factor": -1,
        "assignments": [{"partition_index": number, "broker_ids": [1]} for number in (0, 2)],
    },
    "the same assignment twice": {
        "num_partitions": -1,
        "replication_factor": -1,
        "assignments": [{"partition_index": 0, "broker_ids": [1]}, {"partition_index": 0, "broker_ids": [1]}],
    },
    "assignments to a broker twice": {
        "num_partitions": -1,
        "replication_factor": -1,
        "assignments": [{"partition_index": 0, "broker_ids": [1, 1]}],
    },
    "assignments to no broker": {
        "num_partitions": -1,
        "replication_factor": -1,
        "assignments": [{"partition_index": 0, "broker_ids": []}],
    },
    "assignments to a broker that is not there": {
        "num_partitions": -1,
        "replication_factor": -1,
        "assignments": [{"partition_index": 0, "broker_ids": [9]}],
    },
}.items():

    @conversation(f"create with {_name}")
    def _(talk: Talk, facts: Any = _facts) -> None:
        bare(talk, create(talk, **facts))
        bare(talk, create(talk, **facts, validate_only=True))


@conversation("create the same topic twice in a request")
def _(talk: Talk) -> None:
    wanted = [
        {"name": name, "num_partitions": 1, "replication_factor": 1}
        for name in (talk.prefix, f"{talk.prefix}-b", talk.prefix)
    ]
    bare(talk, talk.ask(CREATE_TOPICS, 7, topics=wanted, timeout=10_000))


@conversation("create nothing")
def _(talk: Talk) -> None:
    talk.ask(CREATE_TOPICS, 7, topics=[], timeout=10_000)


@conversation("create names that collide")
def _(talk: Talk) -> None:
    bare(talk, create(talk, name=f"{talk.prefix}.a_b"))
    for name in (f"{talk.prefix}_a_b", f"{talk.prefix}.a.b", f"{talk.prefix}.a_b"):
        create(talk, name=name)
    wanted = [{"name": f"{talk.prefix}{name}", "num_partitions": 1, "replication_factor": 1} for name in (".x", "_x")]
    answer = talk.quietly(CREATE_TOPICS, 7, topics=wanted, timeout=10_000)
    talk.note("both at once", sorted(topic.error_code for topic in answer.topics))


# -- DeleteTopics ----------------------------------------------------------------------------

for _version in range(1, 7):

    @conversation(f"delete a topic v{_version}")
    def _(talk: Talk, version: int = _version) -> None:
        name = talk.topic()
        topics = [{"name": name, "topic_id": None}]
        talk.ask(DELETE_TOPICS, version, topics=topics, topic_names=[name], timeout=10_000)
        talk.ask(DELETE_TOPICS, version, topics=topics, topic_names=[name], timeout=10_000)


@conversation("delete by id")
def _(talk: Talk) -> None:
    name = talk.topic()
    known = talk.topic_id(name)
    for each in (known, known, NOBODY, None):
        talk.ask(DELETE_TOPICS, 6, topics=[{"name": None, "topic_id": each}], timeout=10_000)


@conversation("delete by name and id")
def _(talk: Talk) -> None:
    name = talk.topic()
    topics = [{"name": name, "topic_id": talk.topic_id(name)}]
    talk.ask(DELETE_TOPICS, 6, topics=topics, timeout=10_000)
    twice = [{"name": name, "topic_id": None}, {"name": name, "topic_id": None}]
    talk.ask(DELETE_TOPICS, 6, topics=twice, timeout=10_000)
    both = [{"name": name, "topic_id": None}, {"name": None, "topic_id": talk.topic_id(name)}]
    talk.ask(DELETE_TOPICS, 6, topics=both, timeout=10_000)
    talk.ask(DELETE_TOPICS, 6, topics=[], timeout=10_000)


@conversation("delete and make again")
def _(talk: Talk) -> None:
    name = talk.topic()
    first = talk.topic_id(name)
    talk.filled(name)
    talk.quietly(DELETE_TOPICS, 6, topics=[{"name": name, "topic_id": None}], timeout=10_000)
    while talk.described(name).error_code == 0:
        time.sleep(0.01)
    talk.topic()
    talk.note("another id", talk.topic_id(name) != first)
    talk.fetch(13, name, topic_id=first)
    talk.fetch(13, name)


# -- CreatePartitions ------------------------------------------------------------------------


def grow(talk: Talk, name: str, count: int, *, version: int = 3, validate_only: bool = False, **facts: Any) -> None:
    topics = [{"name": name, "count": count, "assignments": None, **facts}]
    talk.ask(CREATE_PARTITIONS, version, topics=topics, timeout=10_000, validate_only=validate_only)


for _version in range(4):

    @conversation(f"more partitions v{_version}")
    def _(talk: Talk, version: int = _version) -> None:
        name = talk.topic(partitions=2)
        for count in (3, 3, 2, 0, -1):
            grow(talk, name, count, version=version)
        talk.note("count", len(talk.described(name).partitions))
        grow(talk, f"{name}-unknown", 3, version=version)


@conversation("more partitions, only validated")
def _(talk: Talk) -> None:
    name = talk.topic()
    for count in (2, 1):
        grow(talk, name, count, validate_only=True)
    talk.note("count", len(talk.described(name).partitions))


@conversation("more partitions, assigned")
def _(talk: Talk) -> None:
    name = talk.topic()
    assigned: list[list[list[int]]] = [[[1]], [[1], [1]], [[1, 1]], [[]], [[9]], [[1], [1], [1]], []]
    for brokers in assigned:
        grow(talk, name, 3, assignments=[{"broker_ids": ids} for ids in brokers], validate_only=True)
    grow(talk, name, 3, assignments=[{"broker_ids": [1]}] * 2)
    talk.note("count", len(talk.described(name).partitions))


@conversation("more partitions, twice in a request")
def _(talk: Talk) -> None:
    name = talk.topic()
    topics = [{"name": name, "count": 2, "assignments": None}, {"name": name, "count": 3, "assignments": None}]
    talk.ask(CREATE_PARTITIONS, 3, topics=topics, timeout=10_000)
    talk.ask(CREATE_PARTITIONS, 3, topics=[], timeout=10_000)


# -- DescribeCluster, DescribeTopicPartitions ------------------------------------------------

for _version in range(3):

    @conversation(f"the cluster v{_version}")
    def _(talk: Talk, version: int = _version) -> None:
        for operations in (False, True):
            for kind in (1, 2, 3):
                talk.ask(
                    DESCRIBE_CLUSTER,
                    version,
                    include_cluster_authorized_operations=operations,
                    endpoint_type=kind,
                    include_fenced_brokers=operations,
                )


def pages(talk: Talk, *names: str, limit: int = 2000, cursor: Any = None) -> Any:
    return talk.ask(
        DESCRIBE_TOPIC_PARTITIONS,
        0,
        topics=[{"name": name} for name in names],
        response_partition_limit=limit,
        cursor=None if cursor is None else {"topic_name": cursor[0], "partition_index": cursor[1]},
    )


@conversation("topic partitions")
def _(talk: Talk) -> None:
    one, two = talk.topic("-a", partitions=3), talk.topic("-b", partitions=2)
    pages(talk, one)
    pages(talk, two, one)
    pages(talk, one, f"{one}-unknown", two)
    pages(talk, "bad name!", "")
    pages(talk, one, one)
    pages(talk, "__consumer_offsets-not")


@conversation("topic partitions in pages")
def _(talk: Talk) -> None:
    one, two, three = (talk.topic(f"-{x}", partitions=3) for x in "abc")
    for limit in (1, 2, 3, 4, 6, 8, 9, 0, -1):
        pages(talk, three, one, two, limit=limit)


@conversation("topic partitions from a cursor")
def _(talk: Talk) -> None:
    one, two, three = (talk.topic(f"-{x}", partitions=3) for x in "abc")
    for cursor in ((one, 1), (two, 0), (two, 3), (three, 2), (three, 99), (f"{two}x", 1), ("zzz", 0), (two, -1)):
        pages(talk, one, two, three, limit=3, cursor=cursor)


@conversation("topic partitions of all topics")
def _(talk: Talk) -> None:
    talk.whole = True
    one = talk.topic(partitions=2)
    pages(talk)
    answer = pages(talk, cursor=(one, 1))
    talk.note("first", answer.topics[0].partitions[0].partition_index)
