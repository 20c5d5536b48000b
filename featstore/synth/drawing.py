"""Organs of a plant as polygons: blades, leaves, flowers, fruits and bark, drawn on a canvas of unit side."""

from __future__ import annotations

from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFilter

from featstore.synth.species import Colour, Species

Points: TypeAlias = NDArray[np.float64]
"""(n, 2) of x to the right and y downwards, 0 to 1 over the picture."""

OVERSAMPLING = 2
"""Pictures are drawn this many times larger and then reduced, which smooths every edge."""


class Canvas:
    """A square picture that is drawn on in units of its side."""

    def __init__(self, side_px: int, colour: Colour) -> None:
        self._scale = side_px * OVERSAMPLING
        self._image = Image.new("RGB", (self._scale, self._scale), colour)
        self._draw = ImageDraw.Draw(self._image)

    def polygon(self, outline: Points, colour: Colour) -> None:
        """Fill a closed outline."""
        self._draw.polygon((outline * self._scale).ravel().tolist(), fill=colour)

    def line(self, path: Points, colour: Colour, width: float) -> None:
        """Draw a path with round joints; `width` in units of the side."""
        self._draw.line(
            (path * self._scale).ravel().tolist(), fill=colour, width=max(1, round(width * self._scale)), joint="curve"
        )

    def disc(self, centre: Points, radius: float, colour: Colour) -> None:
        """Fill a circle."""
        left, top = (centre - radius) * self._scale
        right, bottom = (centre + radius) * self._scale
        self._draw.ellipse((left, top, right, bottom), fill=colour)

    def blur(self, radius: float) -> None:
        """Blur all that was drawn so far, as a background out of focus."""
        self._image = self._image.filter(ImageFilter.GaussianBlur(radius * self._scale))
        self._draw = ImageDraw.Draw(self._image)

    def paint(self, texture: NDArray[np.uint8], outline: Points) -> None:
        """Lay a texture of any size, stretched over an outline's bounding box, into the outline."""
        left, top = np.floor(outline.min(axis=0) * self._scale).astype(int).tolist()
        right, bottom = np.ceil(outline.max(axis=0) * self._scale).astype(int).tolist()
        size = (right - left, bottom - top)
        mask = Image.new("L", size)
        ImageDraw.Draw(mask).polygon((outline * self._scale - (left, top)).ravel().tolist(), fill=255)
        self._image.paste(Image.fromarray(texture).resize(size, Image.Resampling.BICUBIC), (left, top), mask)

    def picture(self) -> NDArray[np.float32]:
        """The finished picture, (side_px, side_px, 3), 0 to 255."""
        return np.asarray(self._image.reduce(OVERSAMPLING), dtype=np.float32)


def point(x: float, y: float) -> Points:
    """One point or direction."""
    return np.array([x, y])


def ray(origin: Points, angle: float, length: float) -> Points:
    """The point `length` from `origin`; angles in radians, 0 to the right, a quarter turn down."""
    return origin + length * point(np.cos(angle), np.sin(angle))


def shade(colour: Colour, factor: float) -> Colour:
    """Darker below 1, lighter above."""
    red, green, blue = (min(255, max(0, round(part * factor))) for part in colour)
    return red, green, blue


def mix(one: Colour, other: Colour, share: float) -> Colour:
    """`one` with `share` of `other`."""
    red, green, blue = (round(a + (b - a) * share) for a, b in zip(one, other, strict=True))
    return red, green, blue


def blade(width: float, tip: float = 1.0, teeth: int = 0, lobes: int = 0) -> tuple[Points, Points]:
    """Both edges of a blade that runs from (0, 0) to (1, 0).

    Parameters
    ----------
    width
        Greatest width as a share of the length.
    tip
        Below 1 the end is round and broad, above 1 it is drawn out.
    teeth, lobes
        Number of small and of deep notches per side.

    Returns
    -------
    tuple of two (61, 2) arrays
        The edges at positive and at negative y, each from base to tip.
    """
    along = np.linspace(0, 1, 61)
    half = width / 2 * np.sin(np.pi * along**0.8) ** tip
    if lobes:
        half *= 0.62 + 0.38 * np.cos(2 * np.pi * lobes * along + np.pi)
    if teeth:
        half *= 1 - 0.16 * (teeth * along % 1)
    return np.stack([along, half], axis=1), np.stack([along, -half], axis=1)


def placed(points: Points, origin: Points, length: float, angle: float, squash: float = 1.0) -> Points:
    """Turn unit points, scale them to `length`, flatten them vertically by `squash`, and move them to `origin`."""
    cosine, sine = np.cos(angle), np.sin(angle)
    turned: Points = length * points @ np.array([[cosine, sine], [-sine, cosine]])
    return turned * point(1, squash) + origin


def draw_blade(
    canvas: Canvas, edges: tuple[Points, Points], where: tuple[Points, float, float, float], colour: Colour
) -> None:
    """Draw a blade whose two halves catch the light differently; `where` is origin, length, angle, squash."""
    upper, lower = (placed(edge, *where) for edge in edges)
    canvas.polygon(np.concatenate([upper, lower[::-1]]), shade(colour, 0.86))
    axis = placed(np.stack([np.linspace(1, 0, 61), np.zeros(61)], axis=1), *where)
    canvas.polygon(np.concatenate([upper, axis]), colour)


def draw_leaf(canvas: Canvas, species: Species, where: tuple[Points, float, float], light: float = 1.0) -> None:
    """Draw a leaf with its veins; `where` is the lower end of its stalk, its length and its angle."""
    origin, length, angle = where
    colour = shade(species.leaf, light)
    stalk = ray(origin, angle, 0.2 * length)
    canvas.line(np.stack([origin, stalk]), shade(colour, 0.8), 0.025 * length)
    if species.leaf_form == "pinnate":
        canvas.line(np.stack([stalk, ray(stalk, angle, 0.6 * length)]), shade(colour, 0.8), 0.02 * length)
        for step in range(4):
            joint = ray(stalk, angle, 0.18 * step * length)
            for side in (-1, 1):
                _draw_veined(canvas, species, (joint, 0.4 * length, angle + side * (1.15 - 0.12 * step)), colour)
        _draw_veined(canvas, species, (ray(stalk, angle, 0.5 * length), 0.36 * length, angle), colour)
    elif species.leaf_form == "palmate":
        for turn, size in ((-1.7, 0.45), (1.7, 0.45), (-0.85, 0.68), (0.85, 0.68), (0.0, 0.8)):
            _draw_veined(canvas, species, (stalk, size * length, angle + turn), colour)
    else:
        _draw_veined(canvas, species, (stalk, 0.8 * length, angle), colour)


def _draw_veined(canvas: Canvas, species: Species, where: tuple[Points, float, float], colour: Colour) -> None:
    origin, length, angle = where
    lobes, teeth = (4, 0) if species.leaf_form == "lobed" else (0, species.leaf_teeth)
    edges = blade(species.leaf_width * (1.4 if lobes else 1.0), 1.1, teeth, lobes)
    draw_blade(canvas, edges, (*where, 1.0), colour)
    if length < 0.15:
        return
    vein = mix(colour, (230, 240, 190), 0.35)
    canvas.line(np.stack([origin, ray(origin, angle, 0.95 * length)]), vein, 0.014 * length)
    for share in np.linspace(0.1, 0.7, 5):
        joint = ray(origin, angle, share * length)
        for side in (-1, 1):
            # As far as the edge is where the vein will meet it.
            reach = 0.85 * length * float(np.interp(share + 0.1, *edges[0].T))
            canvas.line(np.stack([joint, ray(joint, angle + 0.8 * side, reach)]), vein, 0.007 * length)


def draw_flower(
    canvas: Canvas, species: Species, where: tuple[Points, float, float, float], light: float = 1.0
) -> None:
    """Draw a flower seen from the front; `where` is its centre, radius, turn and vertical flattening."""
    centre, radius, turn, squash = where
    petal = shade(species.petal, light)
    edges = blade(species.petal_width, species.petal_tip)
    angles = turn + 2 * np.pi * np.arange(species.n_petals) / species.n_petals
    for angle in angles:
        draw_blade(canvas, edges, (centre, radius, angle, squash), petal)
        inner = mix(petal, species.heart, 0.45)
        draw_blade(canvas, blade(0.4 * species.petal_width), (centre, 0.62 * radius, angle, squash), inner)
    canvas.polygon(placed(_circle(), centre, 0.24 * radius, 0.0, squash), shade(species.heart, light))
    for number in range(40):
        # Stamens in the spiral of a sunflower's heart.
        seed = ray(point(0, 0), 2.4 * number, 0.21 * radius * np.sqrt(number / 40))
        canvas.disc(centre + seed * point(1, squash), 0.016 * radius, shade(species.heart, light * (0.6 + number / 60)))


def draw_fruit(canvas: Canvas, species: Species, centre: Points, radius: float, light: float = 1.0) -> None:
    """Draw fruit that hangs from `centre`: a bunch of berries, one apple, or a pod."""
    colour = shade(species.fruit, light)
    if species.fruit_form == "pod":
        for side in (-0.35, 0.25):
            where = (centre, 2.1 * radius, np.pi / 2 + side, 1.0)
            draw_blade(canvas, blade(0.28, 0.6), where, colour)
            for share in np.linspace(0.2, 0.8, 5):
                canvas.disc(ray(centre, np.pi / 2 + side, 2.1 * radius * share), 0.17 * radius, shade(colour, 1.12))
    elif species.fruit_form == "apple":
        _draw_ball(canvas, centre + point(0, radius), radius, colour)
        canvas.line(
            np.stack([centre + point(0, 0.25 * radius), centre - point(0, 0.3 * radius)]), (70, 50, 30), 0.1 * radius
        )
    else:
        for row, count in enumerate((3, 4, 3, 2, 1)):
            for column in range(count):
                shift = point((column - (count - 1) / 2) * 0.62, 0.5 * row + 0.3) * radius
                _draw_ball(canvas, centre + shift, 0.36 * radius, colour)


def _draw_ball(canvas: Canvas, centre: Points, radius: float, colour: Colour) -> None:
    """A ball lit from the upper left."""
    for step in np.linspace(0, 1, 9):
        canvas.disc(centre - 0.3 * step * radius, radius * (1 - 0.75 * step), shade(colour, 0.62 + 0.6 * step))
    canvas.disc(centre - 0.38 * radius, 0.13 * radius, mix(colour, (255, 255, 255), 0.75))


def _circle() -> Points:
    angles = np.linspace(0, 2 * np.pi, 48)
    return np.stack([np.cos(angles), np.sin(angles)], axis=1)


def bark(species: Species, rng: np.random.Generator) -> NDArray[np.uint8]:
    """Texture of a trunk, (160, 160, 3): the pattern of the species' bark on a round trunk."""
    grain = {"fissured": (5, 20), "banded": (30, 3), "scaly": (16, 8), "thorny": (4, 6)}[species.bark_form]
    coarse = Image.fromarray(rng.normal(0, 1, grain).astype(np.float32))
    pattern = np.asarray(coarse.resize((160, 160), Image.Resampling.BICUBIC))
    if species.bark_form == "scaly":
        pattern = np.minimum(3 * np.abs(pattern), 1) * 2 - 1.4  # plates between the cracks where noise is zero
    depth = 0.1 if species.bark_form == "thorny" else 0.26
    roundness = np.sqrt(1 - np.linspace(-0.85, 0.85, 160) ** 2)
    brightness = np.clip(1 + depth * pattern, 0.35, 1.6) * (0.25 + 0.8 * roundness)
    texture = np.clip(brightness[:, :, None] * np.array(species.bark), 0, 255)
    return np.asarray(texture, dtype=np.uint8)
