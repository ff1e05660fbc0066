"""The embedded broker: one node that speaks the Kafka protocol, for development and tests.

    async with Broker(path) as broker:
        ...  # broker.bootstrap_servers

Everything it remembers is a log in Kafka's own segment files; it knows nothing of Connect.
"""

from syncline.broker.broker import Broker, BrokerThread

__all__ = ["Broker", "BrokerThread"]
