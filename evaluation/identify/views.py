"""Views: which organ a photograph shows, as the command line names it."""

from __future__ import annotations

from pathlib import Path

from evaluation.identify.contract import OPEN_VIEW, Photograph
from featstore.catalog import VIEWS, view_of
from featstore.errors import SettingsError


def view_named(text: str, owner: str = "") -> str:
    """The view of a name in any case, or of one of the words that data sets use for it; without one it is open.

    Parameters
    ----------
    owner
        Which photograph it is the view of, for the error.

    Raises
    ------
    SettingsError
        If it names none.

    >>> view_named("flower"), view_named("bark"), view_named("")
    ('Flower', 'Stem', 'Unknown')
    """
    found = view_of(text)
    if found == OPEN_VIEW and text.strip().casefold() not in {"", OPEN_VIEW.casefold()}:
        got = f"{text!r} for {owner}" if owner else repr(text)
        raise SettingsError(f"a view out of {', '.join(VIEWS)}", got, "Correct it, or leave it empty.")
    return found


def photograph_named(text: str) -> Photograph:
    r"""A photograph as ``FILE`` or ``FILE:VIEW``; a colon of the file's own name does not matter.

    Raises
    ------
    SettingsError
        If what stands behind the last colon is no view, and no part of a path either.

    >>> photograph_named("a.jpg:leaf").view, photograph_named(r"C:\plants\a.jpg").view
    ('Leaf', 'Unknown')
    """
    file, colon, view = text.rpartition(":")
    if not colon or Path(text).exists():
        return Photograph(text, Path(text))
    try:
        return Photograph(file, Path(file), view_named(view))
    except SettingsError:
        # A path behind the colon: a drive letter, or a name with a colon that is not there.
        if any(sign in view for sign in "/\\."):
            return Photograph(text, Path(text))
        raise
