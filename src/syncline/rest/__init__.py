"""Kafka Connect's REST interface in front of a herder."""
