"""Syncline keeps the databases of many services in step through Kafka, without a JVM."""

__version__ = "0.1.0"
