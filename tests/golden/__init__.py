"""Recorded behaviour of the JVM software, replayed; what differs is listed, with its reason."""
