"""Rows of SQL databases to topics and back."""
