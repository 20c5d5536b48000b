"""Gain: what another photograph, or another network, adds to the answer, and what it costs."""
