"""Priors from metadata: what place and month of an observation say about its species, before anyone looks."""
