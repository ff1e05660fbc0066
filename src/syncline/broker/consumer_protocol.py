"""What consumers tell each other inside the classic group protocol, as far as the broker looks at it.

The coordinator passes members' metadata on unread; only to know whether a topic is still in use does it look
at the topics of a subscription (ConsumerProtocolSubscription; all versions begin alike).
"""

from __future__ import annotations

from syncline.broker.group_records import Reader, UnreadableRecord
from syncline.broker.groups import ClassicGroup, State


def subscribed_topics(subscription: bytes) -> frozenset[str]:
    """The topics in a subscription; UnreadableRecord when it is none."""
    reader = Reader(subscription)
    return frozenset(reader.many(reader.text))


def may_read(group: ClassicGroup, topic: str) -> bool:
    """Whether members of the group read a topic, or might: what cannot be understood is taken for yes."""
    if group.state is State.EMPTY or group.protocol_type != "consumer":
        return False
    try:
        return any(
            topic in subscribed_topics(metadata)
            for member in group.members.values()
            for _, metadata in member.protocols
        )
    except UnreadableRecord:
        return True
