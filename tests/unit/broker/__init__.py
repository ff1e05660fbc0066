"""The broker without sockets."""
