"""The broker as clients see it."""
