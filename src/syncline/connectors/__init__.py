"""The connectors Syncline ships; each folder could be somebody else's distribution."""
