"""Options: parsing, checking, and what a form is told."""
