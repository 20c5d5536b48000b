"""Charts: small SVG pictures whose text is text, told apart by shape as well as colour."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from evaluation.report.markup import Markup, element

WIDTH, HEIGHT = 360, 250
LEFT, RIGHT, TOP, BOTTOM = 50, 12, 12, 40
N_STYLES = 8
DIGITS = 1
FAR = 3.0
MAX_MARKS = 30
"""Of more points the line alone is drawn."""


@dataclass(frozen=True)
class Line:
    """One line of a chart.

    Attributes
    ----------
    name
        As the legend has it.
    x, y
        Places of its points; NaN is left out.
    low, high
        Ends of each point's interval; empty for none.
    dashed
        Drawn with gaps.
    marked
        Places among the points that get a ring.
    weights
        What each point stands for, in the area of its mark; empty for equal marks.
    """

    name: str
    x: Sequence[float]
    y: Sequence[float]
    low: Sequence[float] = ()
    high: Sequence[float] = ()
    dashed: bool = False
    marked: Sequence[int] = ()
    weights: Sequence[float] = ()


@dataclass(frozen=True)
class Axis:
    """The extent of a chart in one direction.

    Attributes
    ----------
    label
        What is measured.
    low, high
        Its ends.
    whole
        Whether it counts: no ticks between whole numbers.
    """

    label: str
    low: float
    high: float
    whole: bool = False

    @property
    def ticks(self) -> list[float]:
        """A handful of round numbers within the axis."""
        step = _step(self.high - self.low)
        if self.whole:
            step = max(1.0, step)
        first = math.ceil(self.low / step - 1e-9)
        return [number * step for number in range(first, math.floor(self.high / step + 1e-9) + 1)]

    def share(self, value: float) -> float:
        """Where a value lies, 0 at the low end and 1 at the high one."""
        return (value - self.low) / (self.high - self.low)

    @classmethod
    def around_best(cls, label: str, scores: Sequence[tuple[float, float]], within: tuple[float, float]) -> Axis:
        """Span the scores, as low ends and values; a few that lie far below the others are left out.

        One result at chance would press all others into a corner: a low end counts if it is less than `FAR` times as
        far from the highest value as the lowest end of the better half.
        """
        best = max(value for _, value in scores)
        lows = sorted((low if math.isfinite(low) else value for low, value in scores), reverse=True)
        reach = FAR * (best - lows[(len(lows) - 1) // 2])
        return cls.around(label, [best, *(low for low in lows if best - low <= reach)], within)

    @classmethod
    def around(cls, label: str, values: Sequence[float], within: tuple[float, float] = (-math.inf, math.inf)) -> Axis:
        """Span all finite values, rounded outwards, but not beyond what the quantity can be."""
        finite = [value for value in values if math.isfinite(value)] or [0.0, 1.0]
        low, high = min(finite), max(finite)
        if low == high:
            low, high = low - 0.05, high + 0.05
        step = _step(high - low)
        low, high = math.floor(low / step) * step, math.ceil(high / step) * step
        return cls(label, max(low, within[0]), min(high, within[1]))


def dot_and_bar(value: float, low: float, high: float, axis: Axis) -> Markup:
    """Draw a score as a dot on its interval, as wide as its cell; without an interval, the dot alone.

    What lies below the axis is cut off, and a score there is an arrow at its edge.
    """
    at = _percent(max(0.0, axis.share(value)))
    bar = None
    if math.isfinite(low) and high > axis.low:
        ends = {"x1": _percent(max(0.0, axis.share(low))), "x2": _percent(axis.share(high))}
        bar = element("line", class_="bar", y1="50%", y2="50%", **ends)
    # Beyond the cell's own line of text, so that rows of any height make one grid.
    lines = [element("line", class_="grid", x1=x, x2=x, y1="-150%", y2="250%") for x in _grid(axis)]
    dot = element("circle", class_="dot", cx=at, cy="50%", r="4")
    if value < axis.low:
        arrow = element("path", class_="dot", d="M-5 0L4-5L4 5z")
        dot = element("svg", arrow, x=at, y="50%", class_="below", overflow="visible")
    return element("svg", *lines, bar, dot, class_="interval", aria_hidden="true")


def scale(axis: Axis) -> Markup:
    """Write the ticks of a column of `dot_and_bar`."""
    labels = [
        element("text", _number(tick), x=_percent(axis.share(tick)), y="1em", text_anchor="middle")
        for tick in _few(axis.ticks)
    ]
    return element("svg", *labels, class_="interval scale", aria_hidden="true")


def line_chart(title: str, x: Axis, y: Axis, lines: Sequence[Line], *, diagonal: bool = False) -> Markup:
    """Draw lines with marks, intervals and a legend; `diagonal` adds the line on which both axes agree."""
    plot = [*_frame(x, y)]
    if diagonal:
        start, end = _point(x, y, 0, 0), _point(x, y, 1, 1)
        plot.append(element("line", class_="diagonal", x1=start[0], y1=start[1], x2=end[0], y2=end[1]))
    plot += [_drawn(line, number % N_STYLES, x, y) for number, line in enumerate(lines)]
    described = f"{title}. {y.label} against {x.label}: {', '.join(line.name for line in lines)}."
    picture = element(
        "svg",
        element("title", described),
        *plot,
        viewBox=f"0 0 {WIDTH} {HEIGHT}",
        role="img",
        class_="chart",
    )
    keys = [
        element("li", _swatch(number % N_STYLES, dashed=line.dashed), line.name) for number, line in enumerate(lines)
    ]
    # A single line is named by the title.
    legend = element("ul", *keys, class_="legend") if len(lines) > 1 else None
    return element("figure", element("figcaption", title), picture, legend, class_="plot")


def _frame(x: Axis, y: Axis) -> Iterator[Markup]:
    for tick in y.ticks:
        across, down = _point(x, y, x.low, tick)
        yield element("line", class_="grid", x1=across, x2=WIDTH - RIGHT, y1=down, y2=down)
        yield element("text", _number(tick), x=across - 6, y=down + 4, text_anchor="end")
    for tick in x.ticks:
        across, down = _point(x, y, tick, y.low)
        yield element("line", class_="tick", x1=across, x2=across, y1=down, y2=down + 4)
        yield element("text", _number(tick), x=across, y=down + 17, text_anchor="middle")
    middle, foot = (LEFT + WIDTH - RIGHT) / 2, HEIGHT - 5
    yield element("text", x.label, class_="label", x=middle, y=foot, text_anchor="middle")
    height = (TOP + HEIGHT - BOTTOM) / 2
    turned = f"translate(10 {height:g}) rotate(-90)"
    yield element("text", y.label, class_="label", transform=turned, text_anchor="middle")


def _drawn(line: Line, style: int, x: Axis, y: Axis) -> Markup:
    pairs = [(a, b) for a, b in zip(line.x, line.y, strict=True) if math.isfinite(b)]
    points = [_point(x, y, *pair) for pair in pairs]
    path = "M" + "L".join(f"{across:g} {down:g}" for across, down in points) if points else ""
    parts = [element("path", class_="line", d=path, stroke_dasharray="5 4" if line.dashed else None)]
    for at, low, high in zip(line.x, line.low, line.high, strict=False):
        if math.isfinite(low):
            (across, bottom), (_, top) = _point(x, y, at, low), _point(x, y, at, high)
            parts.append(element("line", class_="bar", x1=across, x2=across, y1=bottom, y2=top))
    if len(points) <= MAX_MARKS:
        sizes = _sizes(line.weights) if line.weights else [1.0] * len(points)
        parts += [_mark(style, *point, size) for point, size in zip(points, sizes, strict=True)]
    for place in line.marked:
        across, down = _point(x, y, line.x[place], line.y[place])
        parts.append(element("circle", class_="ring", cx=across, cy=down, r=7))
    return element("g", *parts, class_=f"series s{style}")


def _swatch(style: int, *, dashed: bool) -> Markup:
    stroke = element("path", class_="line", d="M1 7L27 7", stroke_dasharray="5 4" if dashed else None)
    picture = element("g", stroke, _mark(style, 14, 7), class_=f"series s{style}")
    return element("svg", picture, viewBox="0 0 28 14", class_="swatch", aria_hidden="true")


SHAPES = (
    "M-3.5 0a3.5 3.5 0 1 0 7 0a3.5 3.5 0 1 0-7 0z",
    "M-3.2-3.2h6.4v6.4h-6.4z",
    "M0-4.4L4.4 0L0 4.4L-4.4 0z",
    "M0-4.2L4.1 3.2L-4.1 3.2z",
    "M0 4.2L4.1-3.2L-4.1-3.2z",
    "M-4-1.2h2.8v-2.8h2.4v2.8h2.8v2.4h-2.8v2.8h-2.4v-2.8h-2.8z",
    "M-4.4-3L0-1L4.4-3L2.4 3.4L-2.4 3.4z",
    "M-4.6-1.5h9.2v3h-9.2z",
)
"""Circle, square, diamond, triangles, cross, tulip, bar: one for each style, so that colour is not needed."""


def _sizes(weights: Sequence[float]) -> list[float]:
    """Scale of each mark: areas as the weights, but none too small to be seen."""
    return [max(0.5, 2.2 * math.sqrt(weight / max(weights))) for weight in weights]


def _mark(style: int, across: float, down: float, size: float = 1.0) -> Markup:
    placed = f"translate({across:g} {down:g})" + (f" scale({size:.2f})" if size != 1 else "")
    return element("path", class_="mark", d=SHAPES[style], transform=placed)


def _point(x: Axis, y: Axis, across: float, up: float) -> tuple[float, float]:
    left = LEFT + x.share(across) * (WIDTH - LEFT - RIGHT)
    down = HEIGHT - BOTTOM - y.share(up) * (HEIGHT - TOP - BOTTOM)
    return round(left, DIGITS), round(down, DIGITS)


def _grid(axis: Axis) -> list[str]:
    return [_percent(axis.share(tick)) for tick in _few(axis.ticks)]


def _few(ticks: Sequence[float]) -> Sequence[float]:
    """At most four of them: as many as fit beside one another on a phone."""
    return ticks[:: math.ceil(len(ticks) / 4)]


def _percent(share: float) -> str:
    # A margin on both sides keeps dots and labels whole.
    return f"{4 + 92 * share:.1f}%"


def _number(value: float) -> str:
    return f"{round(value, 10):g}"


def _step(extent: float) -> float:
    """The round number of which three to seven fit into an extent."""
    power = 10.0 ** math.floor(math.log10(extent))
    return next(power * factor for factor in (0.2, 0.5, 1, 2) if extent / (power * factor) <= 7)
