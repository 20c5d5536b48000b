"""A picture from figure to file, and the colours that all of them share."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from featstore.provenance import replacing

if TYPE_CHECKING:
    from matplotlib.figure import Figure

BLUE, RED, GREY = "#0072B2", "#D55E00", "#6b6b6b"
"""Told apart without colour vision (Okabe and Ito)."""
COLOURS = (BLUE, RED, "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000", "#999999", "#7a5195", "#b5a400")
MARKS = "osD^vP*X"


def save(path: Path, size: tuple[float, float], draw: Callable[[Figure], None]) -> Path:
    """Draw a figure of a size in inches and write it, whole or not at all."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=size, dpi=110, layout="constrained")
    FigureCanvasAgg(figure)
    draw(figure)
    with replacing(path) as temporary:
        figure.savefig(temporary)
    return path
