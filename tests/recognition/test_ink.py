"""On paper first, then by reading: lines of `test_inputs` in every condition, with the base model."""

import numpy as np
import pytest
from PIL import Image, ImageDraw

from project.evaluation.metrics import cer
from project.recognition.image import grey
from project.recognition.ink import _runs, dark_on_light, even_out, ink_map, long_lines, undither
from project.recognition.recognizer import Recognizer
from project.tracking.registry import BASE, TEST_INPUTS
from tests import conditions

MAX_CER = dict.fromkeys(conditions.EDGES, 0.1) | dict.fromkeys(conditions.LIGHT_AND_PAPER, 0.12)


def strokes(width=300, height=60, paper=230, ink=40):
    """A grey picture with a zigzag stroke, and paper all around."""
    picture = Image.new("L", (width, height), paper)
    points = [(x, 18 + 24 * (k % 2)) for k, x in enumerate(range(30, width - 30, 15))]
    ImageDraw.Draw(picture).line(points, fill=ink, width=3)
    return np.array(picture)


@pytest.fixture(scope="module")
def base():
    return Recognizer.load(BASE)


@pytest.fixture(scope="module")
def lines():
    paths = sorted(TEST_INPUTS.glob("*.png"))
    return [Image.open(path).convert("L") for path in paths], [
        path.with_suffix(".gt.txt").read_text("utf-8").strip() for path in paths
    ]


@pytest.mark.parametrize("condition", MAX_CER, ids=lambda condition: condition.__name__)
def test_lines_are_read_in_every_condition(base, lines, condition):
    pictures, texts = lines
    made = [grey(condition(picture, np.random.default_rng(number))) for number, picture in enumerate(pictures)]
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
