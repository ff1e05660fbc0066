"""Syncline's published test tools, used as a stranger's tests use them."""
