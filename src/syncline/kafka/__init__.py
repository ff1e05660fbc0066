"""Kafka behind ports of our own: the only folder that imports a Kafka client library."""
