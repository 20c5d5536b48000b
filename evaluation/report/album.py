"""Album: small copies of photographs, each embedded once and shown wherever it is named."""

from __future__ import annotations

import base64
import hashlib
import io
import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from PIL import Image

from evaluation.report.herbarium import Herbarium, Specimen
from evaluation.report.markup import Markup, element, joined
from featstore import shell
from featstore.errors import ImageError
from featstore.images import decode, read_bytes

LARGEST_PX, SMALLEST_PX = 256, 72
QUALITY = 72
BUDGET_BYTES = 12_000_000
"""Of JPEG; base64 makes a third more of it."""
BYTES_PER_PX = 0.25
"""What a leafy photograph needs at `QUALITY`; most need less."""


@dataclass(frozen=True)
class Print:
    """A small copy.

    Attributes
    ----------
    number
        Which one it is in the album.
    width, height
        px.
    jpeg
        Its bytes.
    box
        Region of interest in px of the copy: x, y, width, height; None for none.
    """

    number: int
    width: int
    height: int
    jpeg: bytes
    box: tuple[float, float, float, float] | None


@dataclass(frozen=True, eq=False)
class Album:
    """Copies of photographs by image_id, and why the others are missing.

    Attributes
    ----------
    prints
        image_id -> copy.
    missing
        image_id -> reason.
    """

    prints: Mapping[str, Print]
    missing: Mapping[str, str]

    @classmethod
    def of(cls, herbarium: Herbarium, image_ids: Iterable[str]) -> Album:
        """Make copies of some photographs, one at a time in memory, smaller the more there are."""
        wanted = list(dict.fromkeys(image_ids))
        side_px = side_for(len(wanted))
        prints: dict[str, Print] = {}
        missing: dict[str, str] = {}
        with shell.progress(len(wanted), "reducing photographs", "photographs") as bar:
            for image_id in wanted:
                specimen = herbarium.specimen(image_id)
                try:
                    prints[image_id] = make_print(specimen, len(prints), side_px)
                except ImageError as error:
                    missing[image_id] = error.problem
                bar.update()
        return cls(prints, missing)

    def show(self, image_id: str, label: str, *, whole: bool = False) -> Markup:
        """Show a photograph, or a grey field with the reason where there is none.

        Parameters
        ----------
        label
            What a reader who cannot see it is told.
        whole
            All of it, with the region of interest drawn over; else its middle, as a square.
        """
        found = self.prints.get(image_id)
        if found is None:
            return self._placeholder(image_id, label)
        frame = None
        if whole and found.box:
            x, y, width, height = found.box
            sides = {"x": x, "y": y, "width": width, "height": height}
            # Dark under light: seen on any ground.
            frame = joined([element("rect", class_="roi-under", **sides), element("rect", class_="roi", **sides)])
        return element(
            "svg",
            element("title", label),
            element("use", href=f"#p{found.number}"),
            frame,
            viewBox=f"0 0 {found.width} {found.height}",
            role="img",
            class_="photo" if whole else "photo square",
            preserveAspectRatio=None if whole else "xMidYMid slice",
        )

    def sheets(self) -> Markup:
        """Every copy once, to stand at the end of the page: its text opens first, and pictures follow."""
        images = (
            element(
                "image",
                id=f"p{found.number}",
                width=found.width,
                height=found.height,
                href=f"data:image/jpeg;base64,{base64.b64encode(found.jpeg).decode('ascii')}",
            )
            for found in self.prints.values()
        )
        return element("svg", element("defs", *images), class_="sheets", width=0, height=0, aria_hidden="true")

    def _placeholder(self, image_id: str, label: str) -> Markup:
        reason = self.missing.get(image_id, "no feature store was named")
        return element(
            "span",
            element("span", "No photograph: ", reason),
            class_="photo absent",
            role="img",
            aria_label=f"{label}: no photograph, {reason}",
        )


def side_for(n_photographs: int) -> int:
    """Longest side of every copy, px: as `BUDGET_BYTES` allow at 4:3, between `SMALLEST_PX` and `LARGEST_PX`."""
    bytes_each = BUDGET_BYTES / max(1, n_photographs)
    return int(min(LARGEST_PX, max(SMALLEST_PX, math.sqrt(bytes_each / (0.75 * BYTES_PER_PX)))))


def make_print(specimen: Specimen | None, number: int, side_px: int) -> Print:
    """Read one photograph and make a small copy of it.

    Raises
    ------
    ImageError
        If it is unknown to the store, gone, damaged, or another one than the store has seen.
    """
    if specimen is None:
        raise ImageError("a photograph of the store", "a photograph that the store does not know", "Build it first.")
    data = read_bytes(specimen.path)
    if specimen.sha256 and hashlib.sha256(data).hexdigest() != specimen.sha256:
        problem, name = "the file has changed since the store was built", specimen.path.name
        raise ImageError("the photograph that the store has seen", problem, "Run featstore build again.", name)
    photograph = decode(data, specimen.path.name)
    copy = Image.fromarray(photograph.pixels)
    copy.thumbnail((side_px, side_px), Image.Resampling.BICUBIC)
    target = io.BytesIO()
    copy.save(target, "JPEG", quality=QUALITY, optimize=True)
    return Print(number, *copy.size, target.getvalue(), _small_box(specimen.box, photograph.full_size, copy.size))


def _small_box(
    box: tuple[int, int, int, int] | None, full_size: tuple[int, int], size: tuple[int, int]
) -> tuple[float, float, float, float] | None:
    """Scale a box to the copy; None for one that is the whole photograph."""
    if box is None or box == (0, 0, *full_size):
        return None
    top, left, bottom, right = box
    down, across = size[1] / full_size[0], size[0] / full_size[1]
    values = (left * across, top * down, (right - left) * across, (bottom - top) * down)
    x, y, width, height = (round(value, 1) for value in values)
    return x, y, width, height
