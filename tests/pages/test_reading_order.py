"""Boxes (left, top, right, bottom) of lines -> the order in which they are read."""

import numpy as np

from project.pages.reading_order import reading_order, regions, row_order, topological_order

LEFT, RIGHT = (0, 100), (120, 220)


def line(columns: tuple[int, int], top: int) -> tuple[int, int, int, int]:
    return columns[0], top, columns[1], top + 10


def test_a_column_is_read_from_top_to_bottom():
    assert reading_order(np.array([line(LEFT, 40), line(LEFT, 0), line(LEFT, 20)], float)) == [1, 2, 0]


def test_of_two_columns_the_left_one_is_read_first_even_where_it_starts_lower():
    boxes = np.array([line(RIGHT, 0), line(LEFT, 5), line(RIGHT, 20), line(LEFT, 25)], float)
    assert reading_order(boxes) == [1, 3, 0, 2]


def test_the_lines_of_two_columns_need_not_be_level_with_each_other():
    # those of the right column are half a line higher: 12 of 25 px
    boxes = [line(columns, top + 25 * row) for row in range(3) for columns, top in ((RIGHT, 0), (LEFT, 12))]
    assert reading_order(np.array(boxes, float)) == [1, 3, 5, 0, 2, 4]


def test_a_heading_over_two_columns_parts_what_is_above_it_from_what_is_below():
    heading = (0, 40, 220, 50)
    boxes = np.array([line(LEFT, 0), line(RIGHT, 0), heading, line(LEFT, 60), line(RIGHT, 60)], float)
    assert reading_order(boxes) == [0, 1, 2, 3, 4]


def test_a_date_at_the_right_is_read_before_the_greeting_under_it():
    assert reading_order(np.array([line(LEFT, 20), line(RIGHT, 0)], float)) == [1, 0]


def test_a_table_is_read_row_by_row():
    # heights are 10, so lines whose middles are less than 10 apart are in one row
    boxes = np.array([line(RIGHT, 3), line(LEFT, 0), line(LEFT, 30), line(RIGHT, 27), line(RIGHT, 15)], float)
    assert row_order(boxes) == [1, 0, 4, 2, 3]


def test_two_lines_of_a_cell_are_in_two_rows_and_the_cell_beside_them_in_the_nearer_one():
    # the middles are 5, 14 and 10; a row may reach over 10
    assert row_order(np.array([line(LEFT, 0), line(LEFT, 9), line(RIGHT, 5)], float)) == [0, 1, 2]


def test_an_order_is_found_even_where_lines_are_before_each_other_in_a_circle():
    circle = np.array([[0, 1, 0], [0, 0, 1], [1, 0, 0]], bool)
    assert sorted(topological_order(circle)) == [0, 1, 2]


def test_a_block_ends_where_the_column_or_the_paragraph_does():
    boxes = np.array([line(LEFT, 0), line(LEFT, 20), line(LEFT, 80), line(RIGHT, 0), line(RIGHT, 20)], float)
    assert regions(boxes) == [0, 0, 1, 2, 2]
