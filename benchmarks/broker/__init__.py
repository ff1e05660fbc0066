"""How fast the embedded broker is, beside Apache Kafka's, in one run on the same machine."""
