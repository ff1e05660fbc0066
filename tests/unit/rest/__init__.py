"""Requests and answers, over a herder with a Kafka in memory."""
