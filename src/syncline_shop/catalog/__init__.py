"""The catalog service: what can be bought, and how much of it is left."""
