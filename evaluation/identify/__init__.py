"""Identification: photographs of one plant, seen by any runs, become ranked species."""
