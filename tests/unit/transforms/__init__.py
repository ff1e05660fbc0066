"""Transforms: behaviour that no recording shows."""
