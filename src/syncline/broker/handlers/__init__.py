"""Handlers: one small function per Kafka API, from broker, request and context to a plain dict.

The table is both dispatch and the answer to ApiVersions. A dict may hold the fields of every version; those
the request's version does not know are left out on the wire.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from syncline.broker.handlers import (
    admin,
    configs,
    consumer_groups,
    fetch,
    groups,
    inspect,
    metadata,
    offsets,
    offsets_commit,
    produce,
    security,
    transactions,
)
from syncline.broker.wire import Api

APIS: Final[Mapping[int, Api]] = {
    api.key: api
    for module in (
        metadata,
        produce,
        fetch,
        offsets,
        admin,
        configs,
        groups,
        offsets_commit,
        consumer_groups,
        transactions,
        inspect,
        security,
    )
    for api in module.APIS
}
