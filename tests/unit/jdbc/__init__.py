"""The JDBC connectors without a database server."""
