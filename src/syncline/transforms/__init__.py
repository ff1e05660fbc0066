"""Single message transforms, one per file."""
