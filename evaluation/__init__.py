"""Predictions, metrics and fusion, with the observation as the unit."""
