"""Whole networks, trained from a backbone and its fitted head."""
