"""Outlines and baselines of lines on a page of 100 x 100; y is downwards."""

import numpy as np
import pytest

from project.data import outlines
from project.data.outlines import direction, is_covered

BOX = [(10, 10), (90, 10), (90, 30), (10, 30)]  # a line 20 high, whose letters stand on y = 25
LINE = [(10, 25), (90, 25)]
SIZE = (100, 100)


@pytest.mark.parametrize(
    ("baseline", "angle"),
    [
        ([(10, 25), (90, 25)], 0),
        ([(10, 90), (10, 10)], -90),  # up the margin
        ([(10, 10), (10, 90)], 90),  # down the margin
        ([(90, 15), (10, 15)], 180),  # on its head: most of the letters are below the line
        ([(90, 25), (10, 25)], 0),  # drawn from its end: the letters stand on it
        ([], 0),
    ],
)
def test_a_line_runs_as_its_baseline_unless_that_was_drawn_from_its_end(baseline, angle):
    assert direction(BOX, baseline) == pytest.approx(angle)


@pytest.mark.parametrize(
    ("baseline", "covered"),
    [
        (LINE, True),
        ([(10, 34), (90, 34)], True),  # a third of its height below
        ([(10, 60), (90, 60)], False),  # that of another line
        ([(10, 25), (300, 25)], False),  # of which the outline is a remnant
        ([(5, 25), (95, 25)], True),
    ],
)
def test_an_outline_covers_its_baseline_or_not(baseline, covered):
    assert is_covered(baseline, BOX) == covered


def test_an_outline_that_does_not_cover_its_baseline_becomes_a_band_as_high_as_the_others():
    good, wrong = outlines.outlines([(BOX, LINE), (BOX, [(20, 75), (80, 75)])], SIZE)
    assert good.points == BOX
    x, y = np.transpose(wrong.points)
    assert (x.min(), x.max()) == (20 - 0.35 * 20, 80 + 0.35 * 20)  # the height of the first: 20
    assert (y.min(), y.max()) == (75 - 0.75 * 20, 75 + 0.35 * 20)


def test_a_baseline_without_an_outline_has_a_band_by_the_distance_of_its_neighbours_or_by_its_length():
    lines = [([], [(20, y), (80, y)]) for y in (30, 50, 70)]
    for (_, baseline), outline in zip(lines, outlines.outlines(lines, SIZE), strict=True):
        assert np.ptp(np.transpose(outline.points)[1]) == pytest.approx(1.1 * 20)
        assert is_covered(baseline, outline.points)
    (alone,) = outlines.outlines(lines[1:2], SIZE)
    assert np.ptp(np.transpose(alone.points)[1]) == pytest.approx(1.1 * 10)  # of a length of 60, a page of 100


def test_a_band_of_a_line_up_the_margin_lies_to_the_left_of_it():
    (outline,) = outlines.outlines([([], [(50, 90), (50, 10)])], SIZE)
    x = np.transpose(outline.points)[0]
    assert 50 - x.min() > x.max() - 50 > 0
    assert outline.angle == pytest.approx(-90)


def test_an_outline_without_a_baseline_and_a_line_without_either_stay_as_they_are():
    assert [outline.points for outline in outlines.outlines([(BOX, []), ([], [])], SIZE)] == [BOX, []]
