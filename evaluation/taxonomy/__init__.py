"""Taxonomy: genus and family answers where the species is unsure."""
