"""What happens to every request before and after the service's own code."""
