"""The herder: which connectors and tasks should run, and who decides."""
