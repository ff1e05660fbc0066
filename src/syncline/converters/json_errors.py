"""Errors of the JSON converter, named as the JVM names them in traces and dead letters."""

from __future__ import annotations

from syncline.errors import ConnectError, DataError


class SerializationError(ConnectError):
    """The bytes are not JSON."""

    java_class = "org.apache.kafka.common.errors.SerializationException"


class ParseError(ConnectError):
    """Where and why parsing stopped."""

    java_class = "com.fasterxml.jackson.core.JsonParseException"


class FormatError(ConnectError):
    """A JSON value has the wrong form for its type."""

    java_class = "com.fasterxml.jackson.databind.exc.InvalidFormatException"


class NullPointer(ConnectError):
    """Something the JVM code takes for granted is missing."""

    java_class = "java.lang.NullPointerException"


class BadSchema(DataError):
    """The schema in the envelope cannot be built."""

    java_class = "org.apache.kafka.connect.errors.SchemaBuilderException"
