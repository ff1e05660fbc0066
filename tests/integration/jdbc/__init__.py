"""The JDBC connectors on real databases."""
