"""The sample shop's services, over HTTP."""
