"""Lines of a text file to a topic and back: the smallest whole connectors (spec/connect.md 9.2)."""
