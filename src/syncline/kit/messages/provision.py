"""Topics are made as they are declared, and a topic that nobody reads does not go unnoticed."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

import structlog

from syncline.clock import SYSTEM_CLOCK, Clock
from syncline.errors import ConnectError
from syncline.kafka.client import KAFKA
from syncline.kafka.ports import Admin, Kafka
from syncline.kit.errors import BrokerUnavailable
from syncline.kit.messages.events import EventTopic
from syncline.kit.messages.topics import Topic

log = structlog.get_logger(__name__)

Declared = Topic[Any] | EventTopic[Any]

_ADMIN: Final = {"default.api.timeout.ms": "3000"}
_AGAIN_SECONDS: Final = 2


def ensure(admin: Admin, topics: Sequence[Declared]) -> None:
    """Create the topics that are missing, with the cluster's own replication.

    ConnectError when the cluster does not answer or refuses.
    """
    for topic in topics:
        found = admin.topic(topic.name)
        if found is None:
            if admin.create_topic(topic.name, partitions=topic.partitions, replication_factor=-1, exists_ok=True):
                log.info("topic created", topic=topic.name, partitions=topic.partitions)
        elif found.partitions < topic.partitions:
            log.warning(
                "the topic has fewer partitions than declared: fewer instances can share its work",
                topic=topic.name,
                partitions=found.partitions,
                declared=topic.partitions,
            )


def readers(admin: Admin, topic: str) -> list[str]:
    """The groups that have committed offsets of a topic."""
    return [
        group for group in admin.groups() if any(partition.topic == topic for partition in admin.group_offsets(group))
    ]


class TopicCheck:
    """Makes a writer's topics in the background, and warns when nobody reads one of them.

    Give it to `Service.during`. A name that differs between writer and reader is such a topic
    (spec/shop.md, DEF-10): records are written, nothing happens, and no error appears anywhere.
    """

    def __init__(
        self,
        bootstrap_servers: str,
        topics: Sequence[Declared],
        *,
        readers_after: float = 30,
        properties: Mapping[str, str] | None = None,
        kafka: Kafka = KAFKA,
        clock: Clock = SYSTEM_CLOCK,
    ) -> None:
        """Readers get `readers_after` seconds to appear, for services start in any order."""
        self._topics = list(topics)
        self._readers_after = readers_after
        self._properties = {"bootstrap.servers": bootstrap_servers, **(properties or {}), **_ADMIN}
        self._kafka = kafka
        self._clock = clock
        self._stopping = threading.Event()
        self._made = threading.Event()

    async def made(self, seconds: float) -> None:
        """Wait until the topics are there; BrokerUnavailable when they are not within the time.

        A record sent before would make the broker create its topic with other partitions than declared.
        """
        if not self._made.is_set() and not await asyncio.to_thread(self._made.wait, seconds):
            raise BrokerUnavailable("the broker has not answered yet whether the topics exist")

    async def __aenter__(self) -> TopicCheck:
        self._stopping.clear()
        # Not waited for at the end: it may be in the middle of a request to a broker that is away.
        threading.Thread(target=self._run, name="topic check", daemon=True).start()
        return self

    async def __aexit__(self, *_: object) -> None:
        self._stopping.set()

    def _run(self) -> None:
        admin = self._kafka.admin(self._properties)
        self._until_answered(lambda: self._make(admin))
        self._clock.wait(self._stopping, self._readers_after)
        self._until_answered(lambda: self._warn_of_orphans(admin))

    def _make(self, admin: Admin) -> None:
        ensure(admin, self._topics)
        self._made.set()

    def _until_answered(self, ask: Callable[[], None]) -> None:
        while not self._stopping.is_set():
            try:
                ask()
                return
            except ConnectError as exc:
                log.warning("topics cannot be checked yet", reason=str(exc))
                self._clock.wait(self._stopping, _AGAIN_SECONDS)

    def _warn_of_orphans(self, admin: Admin) -> None:
        for topic in self._topics:
            if not readers(admin, topic.name):
                log.warning("nobody reads this topic: is its name the same for writer and reader?", topic=topic.name)
