"""On paper first, then by reading: lines of `test_inputs` in all turns, with the base model."""

import numpy as np
import pytest

from project.evaluation.metrics import cer
from project.recognition.line_image import Placement
from project.recognition.turns import View, skewness, transcribe_views, views


@pytest.mark.parametrize("turn", [0, 90, 180, 270])
def test_lines_are_read_whichever_way_up_and_the_turn_is_told(base, lines, turn):
    pictures, texts = lines
    turned = [np.ascontiguousarray(np.rot90(np.asarray(picture), turn // 90)) for picture in pictures]
    read = transcribe_views(base, [views(pixels, base.height) for pixels in turned])
    assert cer(texts, [reading.text for reading, _ in read]) <= 0.08
    assert np.mean([view.turn == turn for _, view in read]) >= 0.9


def test_a_place_in_a_line_that_was_read_upside_down_is_one_of_the_turned_picture(base, lines):
    upright = np.asarray(lines[0][0])
    ((_, view),) = transcribe_views(base, [views(np.ascontiguousarray(upright[::-1, ::-1]), base.height)])
    (expected,) = views(upright, base.height)
    assert view.turn == 180
    assert view.placement.left == pytest.approx(expected.placement.left, abs=3)
    height, width = upright.shape
    assert view.on_picture(10, 20) == (width - 10, height - 20)
    assert view.placement.scale == pytest.approx(expected.placement.scale, rel=0.05)


def test_dots_alone_are_not_turned_over(base):
    pixels = np.full((91, 120), 248, np.uint8)
    for x in range(40, 100, 12):
        pixels[50:57, x : x + 6] = 20
    ((_, view),) = transcribe_views(base, [views(pixels, base.height)])
    assert view.turn == 0


def test_skewness_is_negative_where_a_tail_of_ink_goes_up():
    ink = np.zeros((4, 10), np.uint8)
    ink[0, :1] = ink[3, :3] = 255  # rows 0, 3, 3, 3: mean 9/4, deviations -9/4 and 3 times 3/4
    assert skewness(ink) == pytest.approx((-729 + 3 * 27) / 64 / 4 / ((81 + 3 * 9) / 16 / 4) ** 1.5)
    assert skewness(ink[::-1]) == pytest.approx(-skewness(ink))
    assert skewness(np.zeros((4, 10), np.uint8)) == 0


@pytest.mark.parametrize("turn", [0, 90, 180, 270])
def test_a_point_of_a_turned_picture_is_found_in_the_picture_as_it_is(turn):
    pixels = np.zeros((30, 50), np.uint8)
    pixels[7, 12] = 255
    turned = np.rot90(pixels, -turn // 90)  # clockwise
    ((y, x),) = np.argwhere(turned)
    view = View(turned[None], Placement(0, 1), turn, turned.shape)
    assert view.on_picture(x + 0.5, y + 0.5) == (12.5, 7.5)  # the middle of the pixel
