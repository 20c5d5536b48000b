"""What is done with the photographs of one view before a network sees them."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Literal, TypeAlias, get_args

from featstore.errors import SettingsError

Method: TypeAlias = Literal["keep", "contour", "whiten"]
Channel: TypeAlias = Literal["grey", "a_star"]
Start: TypeAlias = Literal["otsu", "rectangle", "red_over_green"]

MIN_CONTOUR_PX = 8
"""A picture with a shorter side than this has no room for a contour."""

METHOD_VERSIONS: Mapping[Method, int] = {"keep": 1, "contour": 2, "whiten": 2}
"""Raised when the code behind a method gives other boxes or pixels. 1 was scikit-image's contour and threshold."""

USED_FIELDS: Mapping[Method, frozenset[str]] = {
    "keep": frozenset(),
    "contour": frozenset(
        {"channel", "start", "start_margin", "inset_height", "inset_width", "sigma_px", "side_px"}
        | {"n_iterations", "smoothing", "min_part", "min_box"}
    ),
    "whiten": frozenset({"channel", "min_gap"}),
}
"""The fields beside `method` that each method heeds."""


@dataclass(frozen=True)
class ViewRecipe:
    """What is done with one view; the defaults leave it as it was photographed.

    Parameters
    ----------
    method
        ``keep`` the whole image, take the box around an active ``contour``, or ``whiten`` the ground of a scan.
    channel
        The one number per pixel that thresholds and contours see: ``grey`` (luma), or ``a_star`` (a* of CIE Lab, green
        to red), which sees petals and fruit that are as bright as the leaves behind them. A scan is whitened on grey.
    start
        What the contour starts from: ``otsu``'s two classes, a ``rectangle``, or the pixels with ``red_over_green``.
    start_margin
        Share of the height and of the width outside the rectangle on each side, in [0, 0.5).
    inset_height, inset_width
        Share of the height cut off at top and bottom, and of the width cut off left and right, before the
        contour; in [0, 0.5).
    sigma_px
        Standard deviation of the Gaussian blur, in px of the contour's copy, in [0, 100].
    side_px
        Longest side of the copy on which the contour runs, up to 1024; smaller images are not enlarged.
    n_iterations, smoothing
        Of the contour, see `featstore.roi.contours.chan_vese`.
    min_part
        Parts of the contour smaller than this share of its largest part are ignored.
    min_box
        A box below this share of the image's area is not believed.
    min_gap
        Of the whitening, see `featstore.roi.shades.ground_levels`.

    Raises
    ------
    SettingsError
        If a value is unknown or out of range.
    """

    method: Method = "keep"
    channel: Channel = "grey"
    start: Start = "otsu"
    start_margin: float = 0.0
    inset_height: float = 0.0
    inset_width: float = 0.0
    sigma_px: float = 0.0
    side_px: int = 0
    n_iterations: int = 0
    smoothing: int = 0
    min_part: float = 0.0
    min_box: float = 0.0
    min_gap: float = 0.0

    def __post_init__(self) -> None:
        contour, whiten = self.method == "contour", self.method == "whiten"
        right = {
            f"method in {get_args(Method)}": self.method in get_args(Method),
            f"channel in {get_args(Channel)}": self.channel in get_args(Channel),
            "channel grey to whiten": not whiten or self.channel == "grey",
            f"start in {get_args(Start)}": self.start in get_args(Start),
            "0 <= start_margin < 0.5": 0 <= self.start_margin < 0.5,
            "0 <= inset_height < 0.5": 0 <= self.inset_height < 0.5,
            "0 <= inset_width < 0.5": 0 <= self.inset_width < 0.5,
            "0 <= sigma_px <= 100": 0 <= self.sigma_px <= 100,
            f"{MIN_CONTOUR_PX} <= side_px <= 1024 for a contour": not contour or MIN_CONTOUR_PX <= self.side_px <= 1024,
            "0 <= n_iterations <= 1000": 0 <= self.n_iterations <= 1000,
            "0 <= smoothing <= 10": 0 <= self.smoothing <= 10,
            "0 <= min_part <= 1": 0 <= self.min_part <= 1,
            "0 <= min_box < 1": 0 <= self.min_box < 1,
            "min_gap >= 0": 0 <= self.min_gap < math.inf,
        }
        broken = [rule for rule, kept in right.items() if not kept]
        if broken:
            remedy = 'Correct it, or start from a view that has one: from = "article/Flower".'
            raise SettingsError(f"a recipe with {' and '.join(broken)}", str(self), remedy)

    @property
    def identity(self) -> str:
        """What a row of the store was made by: ``"keep"``, or the method and a digest, ``"contour-1a2b3c4d"``.

        The digest covers the version of the code behind the method and every field that the method heeds and that is
        not at its default, which does nothing: a field added later keeps older identities.
        """
        if self.method == "keep":
            return "keep"
        content = {"version": METHOD_VERSIONS[self.method], **self._active()}
        digest = hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()
        return f"{self.method}-{digest[:8]}"

    def _active(self) -> dict[str, str | float]:
        # 3 and 3.0 are the same recipe but not the same JSON.
        values = {field.name: (getattr(self, field.name), field.default) for field in fields(self)}
        return {
            name: value if isinstance(value, str) else float(value)
            for name, (value, default) in values.items()
            if name in USED_FIELDS[self.method] and value != default
        }
