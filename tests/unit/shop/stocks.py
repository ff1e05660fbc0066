"""A catalog service on the embedded broker, and orders for it as the tutorials' producers send them."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import httpx
from pydantic import SecretStr

from syncline.ids import TopicPartition
from syncline.kafka.client import Consumer, Producer
from syncline.kafka.ports import BEGINNING, KafkaRecord
from syncline_shop.catalog.app import build
from syncline_shop.catalog.settings import CatalogSettings
from tests.servers import wait_for

TOPIC = "example-catalog-topic"
GROUP = "catalog-service"
DEAD = f"{TOPIC}.{GROUP}.dlt"


@asynccontextmanager
async def catalog(url: str, bootstrap: str, **settings: Any) -> AsyncIterator[httpx.AsyncClient]:
    """One instance, open, with a client."""
    svc = build(CatalogSettings(database_url=SecretStr(url), bootstrap_servers=bootstrap, **settings))
    transport = httpx.ASGITransport(svc.app)
    async with svc.open(), httpx.AsyncClient(transport=transport, base_url="http://catalog:7") as client:
        yield client


def send(bootstrap: str, *values: bytes | str | dict[str, Any], topic: str = TOPIC, **headers: str) -> None:
    """Put records on the stock topic, without a key unless they are orders with an id."""
    producer = Producer({"bootstrap.servers": bootstrap})
    for value in values:
        raw = json.dumps(value) if isinstance(value, dict) else value
        key = str(value["orderId"]).encode() if isinstance(value, dict) and "orderId" in value else None
        encoded = [(name, text.encode()) for name, text in headers.items()]
        producer.send(topic, key, raw.encode() if isinstance(raw, str) else raw, headers=encoded)
    assert producer.flush(20)
    producer.close()


def order(number: int | str, quantity: int = 10, product: str = "CATALOG-0001") -> dict[str, Any]:
    """MSG-02."""
    return {
        "productId": product,
        "quantity": quantity,
        "unitPrice": 1500,
        "totalPrice": 1500 * quantity,
        "orderId": f"order-{number}",
        "userId": "roy",
    }


def read(bootstrap: str, topic: str, count: int, partitions: int = 1) -> list[KafkaRecord]:
    """At least `count` records of a topic."""
    consumer = Consumer({"bootstrap.servers": bootstrap, "group.id": "reader", "isolation.level": "read_committed"})
    consumer.assign({TopicPartition(topic, number): BEGINNING for number in range(partitions)})
    found: list[KafkaRecord] = []

    def enough() -> bool:
        found.extend(consumer.read(100, 0.1))
        return len(found) >= count

    try:
        wait_for(enough, f"{count} records on {topic}, found {len(found)}", 30)
    finally:
        consumer.close()
    return found
