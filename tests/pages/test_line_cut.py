"""A page drawn by hand, of two lines of bars for letters -> the pictures of its lines."""

import numpy as np
import pytest

from project.pages.ink import Sheet, separate_ink
from project.pages.line_cut import assign_ink, cut_lines
from project.pages.text_lines import Course

PAPER, INK = 220, 30


def course(y: float, left: float = 20, right: float = 280) -> Course:
    return Course(np.array([[left, y], [(left + right) / 2, y], [right, y]], float), 20)


def sheet(*strokes: tuple[int, int, int, int]) -> Sheet:
    """Return a page of two lines of letters in rows 30 to 50 and 90 to 110, with strokes (left, top, right, bottom)."""
    pixels = np.full((140, 300), PAPER, np.uint8)
    for left in range(30, 270, 12):
        pixels[30:50, left : left + 5] = pixels[90:110, left : left + 5] = INK
    for left, top, right, bottom in strokes:
        pixels[top:bottom, left:right] = INK
    return separate_ink(pixels, 20)


LINES = [course(40), course(100)]


def test_a_descender_that_reaches_between_the_letters_below_belongs_to_the_upper_line():
    # it hangs on the letter at columns 150 to 155 and goes on beside that of the lower line, which stands in the same
    page = sheet((146, 45, 149, 85), (146, 45, 152, 50))
    owner = assign_ink(page, LINES)
    assert (owner[50:85, 146:149] == 1).all()
    upper, lower = cut_lines(page, LINES)
    assert (lower.pixels < 128).sum() == (cut_lines(sheet(), LINES)[1].pixels < 128).sum()
    assert (upper.pixels < 128).sum() > (lower.pixels < 128).sum()


@pytest.mark.parametrize("upper", [1, 2])
def test_the_edges_of_strokes_belong_to_the_line_of_the_stroke(upper):
    # whichever line the middle of the paper is nearest to: one row and one column around the letters
    owner = assign_ink(sheet(), LINES if upper == 1 else LINES[::-1])
    assert (owner[29:51, 29:272] == upper).all()
    assert (owner[89:111, 29:272] == 3 - upper).all()


def test_a_stroke_that_links_two_lines_is_cut_half_way_along_the_ink():
    # from the core of the one, whose last row is 45, to that of the other, whose first is 94, in column 151
    owner = assign_ink(sheet((150, 50, 155, 90)), LINES)
    column = owner[50:90, 152]
    assert (column[:15] == 1).all()
    assert (column[-15:] == 2).all()


def test_a_dot_belongs_to_the_nearest_line_and_what_is_far_from_all_to_none():
    owner = assign_ink(sheet((100, 22, 104, 26), (200, 2, 203, 4)), LINES)
    assert (owner[22:26, 100:104] == 1).all()
    far = assign_ink(sheet((100, 136, 104, 139)), [course(40)])
    assert (far[136:139, 100:104] == 0).all()


def test_the_neighbours_ink_becomes_paper():
    _, lower = cut_lines(sheet((150, 50, 155, 80)), LINES)
    assert lower.pixels.min() < 60
    assert set(np.unique(lower.pixels[: int(lower.middle) - 14])) <= set(range(PAPER - 3, PAPER + 1))


def test_a_place_in_the_picture_is_one_on_the_page():
    upper, _ = cut_lines(sheet(), LINES)
    # the line starts at column 20, and its middle is row 40
    places = upper.on_page(np.array([0, 100]), np.array([upper.middle, upper.middle + 7]))
    assert places.tolist() == pytest.approx(np.array([[20.0, 40.0], [120.0, 47.0]]))
    doubled = upper.transformed(np.array([[2.0, 0, 5], [0, 2, 9]]))
    assert doubled.on_page(np.array([100]), np.array([upper.middle + 7])).tolist() == [[245.0, 103.0]]


def test_the_letters_stand_on_the_baseline():
    upper, lower = cut_lines(sheet(), LINES)
    for cut, bottom in ((upper, 50), (lower, 110)):
        row = cut.on_page(np.array([30]), cut.baseline[30:31])[0, 1]
        assert row == pytest.approx(bottom, abs=2)


def test_a_slanted_line_becomes_level():
    pixels = np.full((200, 400), PAPER, np.uint8)
    for x in range(40, 360):
        y = 60 + x // 4
        pixels[y - 8 : y + 8, x] = INK if x % 12 < 6 else PAPER
    slanted = Course(np.array([[30, 67.5], [200, 110], [370, 152.5]], float), 16)
    (cut,) = cut_lines(separate_ink(pixels, 16), [slanted])
    rows = np.flatnonzero((cut.pixels < 128).any(axis=1))
    assert rows[-1] - rows[0] < 24  # of 16 px letters, over a fall of 80 px
    assert cut.pixels.shape[1] == pytest.approx(np.hypot(340, 85), abs=2)


def test_a_rule_and_the_loop_of_a_pen_are_paper_and_a_long_descender_is_not():
    rule, loop = (2, 66, 280, 68), (2, 66, 4, 130)
    descender = (150, 50, 153, 85)
    _, lower = cut_lines(sheet(rule, loop), LINES)
    plain = cut_lines(sheet(), LINES)
    assert (lower.pixels < 128).sum() == (plain[1].pixels < 128).sum()
    upper, _ = cut_lines(sheet(descender), LINES)
    assert (upper.pixels < 128).sum() > (plain[0].pixels < 128).sum() + 60
