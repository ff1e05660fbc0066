"""The toolkit, with real sockets and a real broker but no database server."""
