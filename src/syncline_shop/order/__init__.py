"""The order service: takes orders, and stores them itself or through a topic and a sink."""
