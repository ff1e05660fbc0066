"""Kafka's own tools under their own names, flags and output (Apache Kafka 4.1)."""
