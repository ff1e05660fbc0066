"""Deciding what runs: plans, lanes, and a herder over a Kafka in memory."""
