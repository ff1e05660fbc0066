"""The gateway: one address in front of many instances."""
