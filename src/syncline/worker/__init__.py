"""One node: the loops of tasks and what surrounds them."""
