"""On paper first, then by reading: lines of `test_inputs` in every condition, with the base model."""

import numpy as np
import pytest
from PIL import Image, ImageDraw

from project.evaluation.metrics import cer
from project.recognition.image import grey
from project.recognition.ink import _runs, dark_on_light, even_out, ink_map, long_lines, roughness, specks, undither
from tests import conditions

MAX_CER = dict.fromkeys(conditions.EDGES, 0.1) | dict.fromkeys(conditions.LIGHT_AND_PAPER, 0.12)


def strokes(width=300, height=60, paper=230, ink=40):
    """A grey picture with a zigzag stroke, and paper all around."""
    picture = Image.new("L", (width, height), paper)
    points = [(x, 18 + 24 * (k % 2)) for k, x in enumerate(range(30, width - 30, 15))]
    ImageDraw.Draw(picture).line(points, fill=ink, width=3)
    return np.array(picture)


@pytest.mark.parametrize("condition", MAX_CER, ids=lambda condition: condition.__name__)
def test_lines_are_read_in_every_condition(base, lines, condition):
    pictures, texts = lines
    made = [grey(condition(picture, np.random.default_rng(number))) for number, picture in enumerate(pictures)]
    assert cer(texts, base.read([base.line_image(pixels) for pixels in made])) <= MAX_CER[condition]


@pytest.mark.parametrize(("size", "along"), [(0.6, False), (3, True)])
@pytest.mark.parametrize(
    "condition",
    [
        conditions.box,
        conditions.rules,
        conditions.dither,
        conditions.grid,
        conditions.neighbours,
        conditions.specks,
        conditions.struck_through,
    ],
    ids=lambda condition: condition.__name__,
)
def test_lines_are_read_in_these_conditions_at_any_size(base, lines, condition, size, along):
    pictures, texts = lines
    there = conditions.at_size(condition, size, along)
    made = [grey(there(picture, np.random.default_rng(number))) for number, picture in enumerate(pictures)]
    assert cer(texts, base.read([base.line_image(pixels) for pixels in made])) <= MAX_CER[condition]


@pytest.mark.parametrize(
    "mark", [[(40, 50)], [(40, 50), (52, 50), (64, 50)], [(40, 40), (40, 52)]], ids=["dot", "dots", "colon"]
)
def test_small_marks_alone_are_never_certain_and_no_zeros(base, mark):
    pixels = np.full((91, 120), 248, np.uint8)
    for x, y in mark:
        pixels[y : y + 7, x : x + 6] = 20
    (reading,) = base.transcribe([base.line_image(pixels)])
    assert reading.confidence < 0.95
    assert "0" not in reading.text


def test_even_light_is_left_as_it_is():
    pixels = strokes()
    assert even_out(pixels) is pixels
    assert dark_on_light(pixels) is pixels
    assert undither(pixels) is pixels
    assert not long_lines(ink_map(pixels)).any()


def test_a_shadow_is_divided_out():
    pixels = strokes()
    shaded = pixels.copy()
    shaded[:, 150:] //= 2
    assert np.abs(ink_map(shaded).astype(int) - ink_map(pixels))[:, :140].mean() < 6
    assert np.abs(ink_map(shaded).astype(int) - ink_map(pixels))[:, 160:].mean() < 6


def test_a_rule_is_taken_out_and_what_crosses_it_stays():
    pixels = np.full((60, 300), 230, np.uint8)
    uprights = np.arange(300) % 20 < 3
    pixels[15:45, uprights] = 40
    pixels[30:32] = 40
    ink = ink_map(pixels)
    assert (ink[30:32, uprights] == 255).all()
    assert not ink[30:32, ~uprights].any()


def test_a_rule_alone_is_what_is_written():
    pixels = np.full((60, 400), 255, np.uint8)
    pixels[30:32] = 0
    assert ink_map(pixels).any()


def test_what_is_rough_is_blurred_as_wide_as_its_dots():
    dots = np.where(np.add.outer(np.arange(90), np.arange(300)) % 2, 255, 0).astype(np.uint8)
    assert roughness(dots) == pytest.approx(2, rel=0.02)  # each pixel differs from the next one, across and down
    assert roughness(dots.repeat(3, 0).repeat(3, 1)) == pytest.approx(2 / 3, rel=0.02)  # one pixel in three
    assert roughness(strokes()) < 0.1
    assert np.ptp(undither(dots)[10:-10, 10:-10]) < 8
    assert np.ptp(undither(dots.repeat(3, 0).repeat(3, 1))[20:-20, 20:-20]) < 8


@pytest.mark.parametrize("scale", [1, 3])
def test_many_specks_smaller_than_a_dot_of_the_pen_are_dirt(scale):
    areas = np.array([6000, 90, 90, *[1] * 40])  # paper, two strokes of 3 x 30 px, specks
    labels = np.zeros((60, 100), int)
    labels[10:40, 10:13], labels[10:40, 20:23] = 1, 2
    labels[50, 1:81:2] = np.arange(3, 43)
    labels, areas = labels.repeat(scale, 0).repeat(scale, 1), areas * scale**2
    assert specks(labels, areas).tolist() == [False] * 3 + [True] * 40
    few = np.where(labels < 23, labels, 0)  # 20 specks: 20 dots of 9 px are more than 1.5 % of 60 x 100 px
    assert specks(few, areas[:23]).any()
    assert not specks(np.where(labels < 12, labels, 0), areas[:12]).any()


def test_writing_that_touches_a_rule_stays_when_the_rule_is_taken_out():
    pixels = np.full((60, 400), 230, np.uint8)
    pixels[30:32] = 40
    pixels[28:30, 100:130] = 40  # a stroke that lies on the rule
    ink = ink_map(pixels)
    assert (ink[28, 102:128] == 255).all()
    assert not ink[30:32, :90].any()


def test_runs_are_those_of_an_opening_with_a_rectangle():
    rng = np.random.default_rng(0)
    for _ in range(50):
        mask = (rng.random((12, 25)) < 0.8).astype(np.uint8)
        width, height = rng.integers(1, 7, 2)
        expected = np.zeros_like(mask)
        for y in range(12 - height + 1):
            for x in range(25 - width + 1):
                if mask[y : y + height, x : x + width].all():
                    expected[y : y + height, x : x + width] = 1
        assert np.array_equal(_runs(mask, int(width), int(height)), expected)
