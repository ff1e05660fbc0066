"""Records, schemas, values."""
