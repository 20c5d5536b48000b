"""Identification: photographs of one plant, seen by any runs, become ranked species."""

TOP = 5
"""Species that are ranked unless told otherwise."""
N_NEIGHBOURS = 3
"""Similar photographs that are looked for, of each photograph, unless told otherwise."""
