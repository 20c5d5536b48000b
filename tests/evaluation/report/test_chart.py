"""Charts: points lie where their numbers say, ticks are round and within the axis."""

from __future__ import annotations

import math
import re

from hypothesis import given
from hypothesis import strategies as st

from evaluation.report.chart import BOTTOM, HEIGHT, LEFT, RIGHT, TOP, WIDTH, Axis, Line, dot_and_bar, line_chart

NUMBERS = st.floats(-1e6, 1e6).filter(lambda value: abs(value) > 1e-6)


@given(st.lists(NUMBERS, min_size=1, max_size=20))
def test_an_axis_holds_its_values_and_a_few_round_ticks(values: list[float]) -> None:
    axis = Axis.around("S", values)
    margin = 1e-6 * (axis.high - axis.low)
    assert axis.low - margin <= min(values)
    assert max(values) <= axis.high + margin
    assert 2 <= len(axis.ticks) <= 9
    for tick in axis.ticks:
        assert axis.low - margin <= tick <= axis.high + margin


def test_scores_do_not_leave_their_range() -> None:
    axis = Axis.around("S", [0.97, 1.0, math.nan], (0.0, 1.0))
    assert axis.high == 1.0
    assert axis.low <= 0.97


def test_one_result_at_chance_does_not_press_the_others_into_a_corner() -> None:
    good = [(0.95, 0.97), (0.94, 0.96), (0.93, 0.95), (0.90, 0.93)]
    axis = Axis.around_best("S", [*good, (0.02, 0.05)], (0.0, 1.0))
    assert 0.85 <= axis.low <= 0.90
    assert 'class="below"' in dot_and_bar(0.05, 0.02, 0.08, axis)
    # Without such a one everything is drawn whole, also what is alone.
    assert Axis.around_best("S", good, (0.0, 1.0)).low <= 0.90
    assert Axis.around_best("S", [(0.2, 0.4)], (0.0, 1.0)).low <= 0.2
    assert 'class="below"' not in dot_and_bar(0.93, 0.90, 0.95, axis)


def test_points_lie_where_their_numbers_say() -> None:
    line = Line("a", [0, 1, 2], [0.0, math.nan, 1.0], marked=[2])
    svg = line_chart("title", Axis("x", 0, 2), Axis("y", 0, 1), [line])
    path = re.search(r'class="line" d="([^"]+)"', svg).group(1)
    assert path == f"M{LEFT} {HEIGHT - BOTTOM}L{WIDTH - RIGHT} {TOP}"
    assert f'class="ring" cx="{WIDTH - RIGHT}" cy="{TOP}"' in svg


def test_lines_differ_by_shape() -> None:
    lines = [Line(str(number), [0, 1], [0, 1]) for number in range(8)]
    svg = line_chart("title", Axis("x", 0, 1), Axis("y", 0, 1), lines)
    assert len(set(re.findall(r'class="mark" d="([^"]+)"', svg))) == 8


def test_a_dot_without_an_interval() -> None:
    axis = Axis("S", 0, 1)
    assert 'class="bar"' in dot_and_bar(0.5, 0.4, 0.6, axis)
    alone = dot_and_bar(0.5, math.nan, math.nan, axis)
    assert 'class="bar"' not in alone
    assert 'cx="50.0%"' in alone
