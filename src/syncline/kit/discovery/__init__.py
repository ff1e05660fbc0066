"""Which instances of a service there are, how one says that it is there, and which takes the next request."""
