"""Patches of text in a map of probabilities -> lines. The maps are drawn by hand."""

import numpy as np
import pytest

from project.pages.cells import fill_cells, split_at
from project.pages.text_lines import (
    END,
    Course,
    find_pieces,
    join_pieces,
    usual_thickness,
    without_specks,
)


def bars(*boxes: tuple[int, int, int, int], shape: tuple[int, int] = (100, 400)) -> np.ndarray:
    """Return a map that is certain of text in boxes (left, top, right, bottom), and of none elsewhere."""
    probability = np.zeros(shape, np.float32)
    for left, top, right, bottom in boxes:
        probability[top:bottom, left:right] = 0.9
    return probability


def level_piece(left: float, right: float, y: float, thickness: float = 10) -> Course:
    """Return a piece whose ends, a thickness long, are guessed."""
    xs = (left, left + thickness, right - thickness, right)
    return Course(np.array([(x, y) for x in xs], float), thickness)


def test_the_course_of_a_bar_is_its_middle_and_a_guess_of_the_ends_of_the_writing():
    # 10 rows from 20 on: the middle is at 25. 100 columns from 50 on, the middles of the first and the last at 50.5 and
    # 149.5, and one thickness of 10 more at each end.
    (piece,) = find_pieces(bars((50, 20, 150, 30)))
    assert piece.thickness == 10
    assert END == 1
    assert np.allclose(piece.points[:, 1], 25)
    assert piece.points[[0, -1], 0] == pytest.approx([40.5, 159.5])
    assert piece.angle == pytest.approx(0)


def test_a_course_follows_a_line_that_curves():
    x = np.arange(40, 360)
    middle = 50 + 20 * np.sin(x / 60)
    probability = np.zeros((100, 400), np.float32)
    for column, row in zip(x, middle, strict=True):
        probability[round(row) - 4 : round(row) + 5, column] = 0.9
    (piece,) = find_pieces(probability)
    inner = piece.points[2:-2]
    assert np.abs(inner[:, 1] - (50 + 20 * np.sin(inner[:, 0] / 60))).max() < 3


def test_a_tall_letter_by_itself_is_a_piece_of_a_level_line():
    (piece,) = find_pieces(bars((50, 20, 58, 38)))
    assert piece.angle == pytest.approx(0)


def test_what_is_improbable_as_a_whole_is_no_text():
    assert find_pieces(0.5 * bars((50, 20, 150, 30))) == []


def test_two_lines_that_have_grown_together_come_apart_where_text_is_less_probable():
    together = bars((50, 20, 350, 30), (50, 50, 350, 60))
    together[30:50, 195:205] = 0.4  # a long descender
    pieces = find_pieces(together)
    assert len(pieces) == 2
    assert sorted(round(piece.points[:, 1].mean()) for piece in pieces) == pytest.approx([25, 55], abs=2)


def test_a_thin_short_stroke_is_no_piece_and_a_thin_long_one_is():
    line, speck, small_print = level_piece(0, 300, 20), level_piece(0, 30, 50, 3), level_piece(0, 200, 80, 3)
    assert without_specks([line, speck, small_print]) == [line, small_print]


def test_the_usual_thickness_is_that_of_the_long_pieces():
    assert usual_thickness([level_piece(0, 300, 20, 10), *(level_piece(0, 20, 60, 4) for _ in range(5))]) == 10


def test_pieces_that_continue_each_other_are_one_line():
    lines = join_pieces([level_piece(130, 250, 52), level_piece(0, 100, 50), level_piece(0, 250, 90)])
    assert sorted(round(line.length) for line in lines) == [250, 250]


def test_pieces_far_apart_or_one_below_the_other_stay_lines_of_their_own():
    apart = [level_piece(0, 100, 50), level_piece(150, 250, 50), level_piece(101, 200, 70)]
    assert len(join_pieces(apart)) == 3


def test_a_gap_is_one_between_columns_unless_a_line_above_or_below_runs_over_it():
    def columns(row: float) -> list[Course]:
        return [level_piece(0, 100, row), level_piece(120, 250, row)]

    page = [piece for row in (50, 80, 110) for piece in columns(row)]
    assert len(join_pieces(page)) == 6
    assert len(join_pieces([*page, level_piece(0, 250, 20)])) == 5  # the lines are 60 and 90 px below it: 8 of 10 px
    assert len(join_pieces(columns(50))) == 1


def test_a_line_is_joined_along_its_slope():
    # the first falls by 1 in 10: 30 px further on it is 3 px lower
    falling = Course(np.array([[0, 0], [10, 1], [90, 9], [100, 10]], float), 10)
    further = Course(np.array([[130, 13], [140, 14], [220, 22], [230, 23]], float), 10)
    (line,) = join_pieces([further, falling])
    assert line.angle == pytest.approx(np.degrees(np.arctan(0.1)))


def test_nothing_is_joined_across_the_rule_of_a_table_and_what_crosses_it_is_parted():
    rules = np.zeros((100, 400), bool)
    rules[:, 115] = True
    assert len(join_pieces([level_piece(0, 100, 50), level_piece(130, 250, 50)], rules)) == 2
    parts = split_at([level_piece(0, 250, 50)], rules)
    assert [round(part.length) for part in parts] == pytest.approx([114, 133], abs=2)
    assert split_at([level_piece(0, 250, 50)], np.zeros_like(rules))[0].length == 250


def test_a_line_of_a_cell_goes_on_to_the_last_ink_before_the_rule():
    # ditto marks, too small to be found, end in column 163; a thickness of 10 more is guessed
    ink, rules = np.zeros((100, 400), bool), np.zeros((100, 400), bool)
    ink[46:50, 160:164] = ink[80:84, 180:184] = True
    digit = level_piece(20, 60, 50)
    rules[:, [10, 200]] = True
    (line,) = fill_cells([digit], ink, rules)
    assert line.points[[0, -1], 0] == pytest.approx([20, 173], abs=1)
    rules[:, 200] = False
    assert fill_cells([digit], ink, rules)[0].points[-1, 0] == pytest.approx(60)


def test_a_line_of_a_cell_ends_before_another():
    ink, rules = np.zeros((100, 400), bool), np.zeros((100, 400), bool)
    ink[46:50, 160:164] = True
    rules[:, [10, 200]] = True
    lines = fill_cells([level_piece(20, 60, 50), level_piece(100, 180, 50)], ink, rules)
    assert lines[0].points[-1, 0] == pytest.approx(60)
