"""How fast Syncline is, measured beside what it replaces, in one run on the same machine."""
