"""Classifiers on stored features, compared fairly."""
