"""A typed HTTP client for Connect's REST interface, and the bodies it shares with the server."""
