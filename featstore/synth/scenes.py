"""The seven views: an organ in front of what a camera meets behind it, with the camera's own faults."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np
from numpy.typing import NDArray

from featstore.synth.drawing import (
    Canvas,
    Points,
    bark,
    draw_flower,
    draw_fruit,
    draw_leaf,
    mix,
    placed,
    point,
    ray,
    shade,
)
from featstore.synth.species import Colour, Species

_MEADOW: Colour = (70, 105, 45)
_SOIL: Colour = (105, 82, 58)
_SKY: Colour = (170, 200, 228)
_UP = -np.pi / 2


def photograph(
    species: Species, view: str, side_px: int, sharpness: float, rng: np.random.Generator
) -> NDArray[np.uint8]:
    """Draw one photograph.

    Parameters
    ----------
    species : Species
        Whose organ is shown.
    view : str
        A key of `SCENES`.
    side_px : int
        Height and width.
    sharpness : float
        1 for a good photograph, 0 for one that is blurred and noisy.
    rng : numpy Generator
        Pose, background and light follow from it alone.

    Returns
    -------
    (side_px, side_px, 3) uint8
    """
    canvas = SCENES[view](species, side_px, rng)
    if sharpness < 1:
        canvas.blur(0.012 * (1 - sharpness))
    picture = canvas.picture()
    if view != "LeafScan":
        picture = picture * _daylight(side_px, rng)
    noise = rng.standard_normal(picture.shape, dtype=np.float32)
    return np.clip(picture + (11 - 8 * sharpness) * noise, 0, 255).astype(np.uint8)


def _daylight(side_px: int, rng: np.random.Generator) -> NDArray[np.float32]:
    """Brightness that falls off towards one side, and a cast of colour."""
    across = np.linspace(-1, 1, side_px, dtype=np.float32)
    tilt_x, tilt_y = rng.uniform(-0.18, 0.18, 2)
    light = rng.uniform(0.8, 1.15) + tilt_x * across[None, :] + tilt_y * across[:, None]
    return np.asarray(light[:, :, None] * rng.uniform(0.93, 1.07, 3), dtype=np.float32)


def _background(side_px: int, rng: np.random.Generator, colours: tuple[Colour, ...] = (_MEADOW, _SOIL)) -> Canvas:
    """Foliage, soil or sky out of focus."""
    base = mix(colours[0], colours[-1], rng.uniform())
    canvas = Canvas(side_px, base)
    cloud = 1 + 0.3 * rng.normal(0, 1, (6, 6, 1))
    canvas.paint(np.clip(cloud * np.array(base), 0, 255).astype(np.uint8), _FRAME)
    for _ in range(26):
        tone = shade(mix(_MEADOW, base, rng.uniform()), rng.uniform(0.5, 1.5))
        where = (rng.uniform(0, 1, 2), rng.uniform(0.1, 0.3), rng.uniform(0, 2 * np.pi))
        canvas.polygon(placed(_SLIVER, *where), tone)
    canvas.blur(rng.uniform(0.015, 0.03))
    return canvas


_FRAME: Points = np.array([[0, 0], [1, 0], [1, 1], [0, 1]])
_SLIVER: Points = np.array([[0, 0], [0.3, 0.14], [0.7, 0.1], [1, 0], [0.7, -0.1], [0.3, -0.14]])


def _flower(species: Species, side_px: int, rng: np.random.Generator) -> Canvas:
    canvas = _background(side_px, rng)
    centre, radius = rng.uniform(0.42, 0.58, 2), rng.uniform(0.26, 0.4)
    foot = point(centre[0] + rng.uniform(-0.2, 0.2), 1.1)
    canvas.line(np.stack([centre, (centre + foot) / 2 + point(0.03, 0), foot]), shade(species.leaf, 0.8), 0.022)
    draw_leaf(canvas, species, (ray(foot, _UP, 0.25), 0.45, _UP + rng.choice([-1, 1]) * rng.uniform(0.6, 1.0)), 0.8)
    if rng.uniform() < 0.4:
        aside = point(rng.choice([0.12, 0.88]), rng.uniform(0.15, 0.4))
        draw_flower(canvas, species, (aside, 0.5 * radius, rng.uniform(0, 6), rng.uniform(0.5, 0.9)), 0.85)
    draw_flower(canvas, species, (centre, radius, rng.uniform(0, 6), rng.uniform(0.65, 1)))
    return canvas


def _leaf(species: Species, side_px: int, rng: np.random.Generator) -> Canvas:
    canvas = _background(side_px, rng)
    for _ in range(3):
        draw_leaf(canvas, species, (rng.uniform(0, 1, 2), 0.6, rng.uniform(0, 2 * np.pi)), rng.uniform(0.45, 0.65))
    canvas.blur(0.008)
    angle = rng.uniform(-np.pi, np.pi)
    length = rng.uniform(0.7, 0.9)
    draw_leaf(canvas, species, (ray(point(0.5, 0.5), angle, -0.52 * length), length, angle), rng.uniform(0.95, 1.2))
    return canvas


def _leaf_scan(species: Species, side_px: int, rng: np.random.Generator) -> Canvas:
    canvas = Canvas(side_px, (0, 0, 0))
    paper = rng.uniform(225, 250) + rng.uniform(-4, 4, (3, 3, 1)) + np.array([0, 0, -3])
    canvas.paint(np.clip(paper, 0, 255).astype(np.uint8), _FRAME)
    angle = _UP + rng.uniform(-0.5, 0.5)
    length = rng.uniform(0.75, 0.95)
    draw_leaf(canvas, species, (ray(point(0.5, 0.5), angle, -0.52 * length), length, angle), rng.uniform(0.85, 1.1))
    return canvas


def _stem(species: Species, side_px: int, rng: np.random.Generator) -> Canvas:
    canvas = _background(side_px, rng)
    heights = np.linspace(-0.05, 1.05, 12)
    middle = 0.5 + rng.uniform(-0.08, 0.08) + rng.uniform(-0.08, 0.08) * (heights - 0.5)
    half = rng.uniform(0.15, 0.24) + rng.normal(0, 0.006, heights.size)
    edges = [np.stack([middle + side * half, heights], axis=1) for side in (-1, 1)]
    canvas.paint(bark(species, rng), np.concatenate([edges[0], edges[1][::-1]]))
    if species.bark_form == "thorny":
        for height in rng.uniform(0.05, 0.95, 9):
            side = rng.choice([-1, 1])
            base = point(float(np.interp(height, heights, middle + side * half)), height)
            thorn = np.stack([base - point(0, 0.03), base + point(side * 0.11, -0.05), base + point(0, 0.03)])
            canvas.polygon(thorn, shade(species.bark, 0.6))
    return canvas


def _twig(species: Species, side_px: int, rng: np.random.Generator) -> tuple[Canvas, Points, float]:
    """A background with a bare twig across it; also its joints from the base on, and its direction."""
    canvas = _background(side_px, rng, (_SKY, _MEADOW))
    angle = rng.uniform(-0.9, -0.3)
    base = point(-0.05, rng.uniform(0.7, 0.95))
    bend = rng.uniform(-0.08, 0.08)
    joints = np.stack([ray(base, angle, step) + point(0, bend * np.sin(3 * step)) for step in np.linspace(0, 1.2, 9)])
    canvas.line(joints, shade(species.bark, 0.75), 0.022)
    return canvas, joints, angle


def _branch(species: Species, side_px: int, rng: np.random.Generator) -> Canvas:
    canvas, joints, angle = _twig(species, side_px, rng)
    for number, joint in enumerate(joints[1:]):
        for side in (-1, 1) if species.habit == "shrub" else ((-1, 1)[number % 2],):
            turn = angle + side * rng.uniform(0.7, 1.1)
            draw_leaf(canvas, species, (joint, rng.uniform(0.26, 0.36), turn), rng.uniform(0.7, 1.15))
    return canvas


def _fruit(species: Species, side_px: int, rng: np.random.Generator) -> Canvas:
    canvas, joints, angle = _twig(species, side_px, rng)
    for joint in joints[1::2]:
        draw_leaf(canvas, species, (joint, 0.32, angle - rng.uniform(0.5, 1.2)), rng.uniform(0.65, 1.0))
    for joint in joints[rng.permutation(np.arange(2, 7))[: rng.integers(2, 4)]]:
        radius = rng.uniform(0.1, 0.14)
        canvas.line(np.stack([joint, joint + point(0, 0.08)]), shade(species.leaf, 0.7), 0.01)
        draw_fruit(canvas, species, joint + point(0, 0.06), radius, rng.uniform(0.85, 1.1))
    return canvas


def _entire(species: Species, side_px: int, rng: np.random.Generator) -> Canvas:
    canvas = Canvas(side_px, _SKY)
    horizon = rng.uniform(0.45, 0.65)
    ground = mix(_MEADOW, _SOIL, rng.uniform(0, 0.7))
    canvas.polygon(np.array([[0, horizon], [1, horizon], [1, 1], [0, 1]]), ground)
    for _ in range(60):
        foot = point(rng.uniform(0, 1), rng.uniform(horizon, 1.05))
        canvas.line(
            np.stack([foot, ray(foot, _UP + rng.normal(0, 0.3), 0.09)]), shade(ground, rng.uniform(0.7, 1.4)), 0.006
        )
    for hill in rng.uniform(0, 1, 7):
        canvas.disc(point(hill, horizon), rng.uniform(0.05, 0.14), shade(_MEADOW, rng.uniform(0.6, 1.1)))
    canvas.blur(0.008)
    _HABITS[species.habit](canvas, species, point(0.5 + rng.uniform(-0.1, 0.1), rng.uniform(0.86, 0.95)), rng)
    return canvas


def _herb(canvas: Canvas, species: Species, foot: Points, rng: np.random.Generator) -> None:
    for lean in rng.permutation(np.linspace(-0.5, 0.5, 6)):
        height = rng.uniform(0.45, 0.7)
        top = ray(foot, _UP + lean, height)
        canvas.line(np.stack([foot, ray(foot, _UP + 0.7 * lean, height / 2), top]), shade(species.leaf, 0.8), 0.012)
        for share in (0.15, 0.35, 0.55, 0.75):
            where = ray(foot, _UP + lean * (0.6 + 0.4 * share), share * height)
            for side in (-1, 1):
                draw_leaf(
                    canvas,
                    species,
                    (where, 0.2 - 0.1 * share, _UP + lean + side * rng.uniform(0.6, 1.2)),
                    rng.uniform(0.7, 1.2),
                )
        draw_flower(canvas, species, (top, 0.07, rng.uniform(0, 6), 0.8))


def _shrub(canvas: Canvas, species: Species, foot: Points, rng: np.random.Generator) -> None:
    for lean in np.linspace(-0.9, 0.9, 9):
        canvas.line(np.stack([foot, ray(foot, _UP + lean, 0.4)]), shade(species.bark, 0.7), 0.014)
    _crown(canvas, species, (foot - point(0, 0.28), point(0.34, 0.27)), rng)


def _tree(canvas: Canvas, species: Species, foot: Points, rng: np.random.Generator) -> None:
    width = rng.uniform(0.03, 0.045)
    trunk = np.array([[-width, 0], [width, 0], [0.6 * width, -0.4], [-0.6 * width, -0.4]]) + foot
    canvas.paint(bark(species, rng), trunk)
    _crown(canvas, species, (foot - point(0, 0.53), point(0.34, 0.27)), rng)


def _crown(canvas: Canvas, species: Species, ellipse: tuple[Points, Points], rng: np.random.Generator) -> None:
    """Leaves, darker below, and flowers inside an ellipse (centre and half axes)."""
    centre, axes = ellipse
    for number in range(130):
        angle, distance = rng.uniform(0, 2 * np.pi), np.sqrt(rng.uniform(0, 1))
        spot = point(np.cos(angle), np.sin(angle)) * distance
        light = (0.55 + 0.5 * number / 130) * (1 - 0.25 * spot[1])
        draw_leaf(canvas, species, (centre + spot * axes, rng.uniform(0.09, 0.14), rng.uniform(0, 2 * np.pi)), light)
        if number > 60 and number % 5 == 0:
            draw_flower(canvas, species, (centre + spot * axes, 0.035, angle, 0.9), light + 0.1)


_HABITS: Mapping[str, Callable[[Canvas, Species, Points, np.random.Generator], None]] = {
    "herb": _herb,
    "shrub": _shrub,
    "tree": _tree,
}

SCENES: Mapping[str, Callable[[Species, int, np.random.Generator], Canvas]] = {
    "Branch": _branch,
    "Entire": _entire,
    "Flower": _flower,
    "Fruit": _fruit,
    "Leaf": _leaf,
    "LeafScan": _leaf_scan,
    "Stem": _stem,
}
