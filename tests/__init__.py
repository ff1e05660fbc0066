"""Tests of Syncline; see CONTRIBUTING.md for what each folder holds."""
