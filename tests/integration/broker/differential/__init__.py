"""Short conversations in the raw protocol, recorded with Apache Kafka and held again with the broker."""
