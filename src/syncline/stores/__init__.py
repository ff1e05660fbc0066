"""What must survive a restart: source offsets, configurations, status."""
