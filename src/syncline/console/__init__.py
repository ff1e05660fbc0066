"""Server-rendered pages over the REST client."""
