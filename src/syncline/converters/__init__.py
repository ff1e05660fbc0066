"""Converters between Kafka's bytes and data with schemas, one format per file."""
