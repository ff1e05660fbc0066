"""Formats, each by itself: no Kafka, no files."""
