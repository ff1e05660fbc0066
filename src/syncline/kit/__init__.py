"""For people who write services that publish and consume."""
