"""The only folder that imports a Kafka client library."""
