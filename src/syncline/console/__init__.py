"""Pages over what is there: tables with their rows, topics with their records, connectors. They change nothing."""
