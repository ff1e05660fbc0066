"""Lines of a text file to a topic and back."""
