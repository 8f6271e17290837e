import numpy as np
import pytest
from PIL import Image, ImageDraw

from project.recognition.line_image import HALF_HEIGHT, MIN_SIDE, center_line, normalize_line, normalize_with_placement


def drawn(width=200, height=60, paper=230, ink=40):
    """A grey picture with two strokes, and paper all around."""
    picture = Image.new("L", (width, height), paper)
    ImageDraw.Draw(picture).line([(30, 15), (50, 45), (width - 30, 15)], fill=ink, width=4)
    return picture


def similar(a, b, tolerance=3.0):
    return a.shape == b.shape and np.abs(a.astype(float) - b).mean() < tolerance


def bars(*boxes, width=400, height=100):
    """White paper with black bars; each box is left, top, right, bottom, the last row and column included."""
    picture = Image.new("L", (width, height), 255)
    for box in boxes:
        ImageDraw.Draw(picture).rectangle(box, fill=0)
    return np.asarray(picture)


def test_a_line_image_has_the_height_asked_for_and_keeps_its_aspect():
    for height in (24, 40, 64):
        strokes = [
            (left, 40, left + 3, 59) for left in range(50, 127, 19)
        ]  # 80 x 20 px: spread 5, so 40 rows are shown
        image = normalize_line(bars(*strokes), height)
        assert image.dtype == np.uint8
        assert image.shape[:2] == (1, height)
        inked = np.flatnonzero((image[0] > 128).any(axis=0))
        assert np.ptp(inked) == pytest.approx(80 * height / 40, abs=3)


def test_the_middle_of_a_bar_is_its_middle_and_its_spread_a_quarter_of_its_height():
    ink = 255 - bars((0, 40, 399, 59))  # rows 40..59: mean 49.5, and |row - mean| is 0.5, 1.5, .. 9.5, each twice
    middle, spread = center_line(ink)
    assert middle == pytest.approx(np.full(400, 49.5))
    assert spread == pytest.approx(5.0)


def test_a_climbing_line_is_made_level():
    letters = [(20 + 30 * i, 70 - 2 * i, 35 + 30 * i, 89 - 2 * i) for i in range(12)]
    level = [(left, 70, right, 89) for left, _, right, _ in letters]
    climbing, straight = normalize_line(bars(*letters), 40)[0], normalize_line(bars(*level), 40)[0]
    for image in (climbing, straight):
        rows = np.flatnonzero((image > 128).any(axis=1))
        assert np.ptp(rows) < 0.7 * 40  # 20 of the 40 rows that are shown, and a little
    assert climbing.shape[1] == pytest.approx(straight.shape[1], rel=0.15)


def test_a_short_word_with_a_tail_is_not_taken_for_a_falling_line():
    ink = 255 - bars((10, 10, 20, 50), (40, 30, 50, 70), width=60)  # as "b" and "y" stand
    middle, _ = center_line(ink)
    assert abs(middle[45] - middle[15]) < 5  # the bars' own middles are 20 px apart


def test_one_tall_stroke_does_not_make_the_writing_small():
    letters = [(20 + 30 * i, 60, 40 + 30 * i, 79) for i in range(11)]
    plain, tall = bars(*letters), bars(*letters, (355, 5, 360, 99))
    assert normalize_line(tall, 40).shape[2] > 0.75 * normalize_line(plain, 40).shape[2]


def test_a_place_leads_back_from_the_line_image_to_the_picture():
    pixels = bars((100, 40, 119, 59), (300, 40, 319, 59))
    image, place = normalize_with_placement(pixels, 40)
    columns = np.flatnonzero((image[0] > 128).any(axis=0))
    assert place.left + place.scale * columns[0] == pytest.approx(100, abs=2)
    assert place.left + place.scale * (columns[-1] + 1) == pytest.approx(320, abs=2)


def test_empty_paper_is_shown_whole():
    image, place = normalize_with_placement(np.full((80, 200), 255, dtype=np.uint8), 40)
    assert image.shape == (1, 40, 100)
    assert place == (0, 2)
    assert center_line(np.zeros((80, 200), dtype=np.uint8))[1] == 80 / (2 * HALF_HEIGHT)


def test_paper_becomes_0_and_ink_255():
    image = normalize_line(np.asarray(drawn(paper=200, ink=90)), 40)
    assert image.min() == 0
    assert image.max() > 240


def test_light_on_dark_reads_as_dark_on_light():
    pixels = np.asarray(drawn())
    assert similar(normalize_line(255 - pixels, 40), normalize_line(pixels, 40), tolerance=0.5)


def test_margins_do_not_count():
    narrow, wide = drawn(), Image.new("L", (500, 200), 230)
    wide.paste(narrow, (250, 90))
    assert np.array_equal(normalize_line(np.asarray(wide), 40), normalize_line(np.asarray(narrow), 40))


@pytest.mark.parametrize("grey", [0, 128, 255])
def test_a_picture_of_one_colour_is_empty_paper(grey):
    assert normalize_line(np.full((50, 300), grey, dtype=np.uint8), 40).max() == 0


@pytest.mark.parametrize("shape", [(MIN_SIDE, MIN_SIDE), (64, 10), (64, 20_000), (3000, 2000), (2000, 8)])
def test_any_size_gives_a_line_image_or_an_error_in_words(shape):
    pixels = np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)
    try:
        image = normalize_line(pixels, 40)
    except ValueError as error:
        assert "times as wide as high" in str(error)  # noqa: PT017
    else:
        assert image.shape[1] == 40
        assert image.shape[2] >= MIN_SIDE


@pytest.mark.parametrize("rows", [1, 2])
def test_a_rule_of_one_row_is_a_line_as_one_of_two_rows_is(rows):
    pixels = np.full((60, 400), 255, np.uint8)
    pixels[30 : 30 + rows, 5:-5] = 0
    assert normalize_line(pixels, 40).any()


@pytest.mark.parametrize("shape", [(7, 100), (100, 7), (10, 10, 3)])
def test_a_size_that_cannot_be_a_line_is_named(shape):
    with pytest.raises(ValueError, match="both at least 8 px"):
        normalize_line(np.zeros(shape, dtype=np.uint8), 40)


@pytest.mark.parametrize("dark_ground", [False, True])
@pytest.mark.parametrize(("width", "height"), [(1500, 120), (4000, 3000)])
def test_a_few_strokes_on_a_large_sheet_are_ink(width, height, dark_ground):
    picture = Image.new("L", (width, height), 235)
    ImageDraw.Draw(picture).line([(500, 40), (530, 40), (510, 90)], fill=30, width=5)
    pixels = 255 - np.asarray(picture) if dark_ground else np.asarray(picture)
    image, place = normalize_with_placement(pixels, 40)
    assert image.max() > 200
    assert 470 < place.left < 500
    assert place.left + place.scale * image.shape[2] < 560


@pytest.mark.parametrize(("side", "shown"), [(2, False), (4, True)])
def test_a_speck_of_a_few_pixels_is_no_ink_and_one_that_may_be_a_dot_is(side, shown):
    pixels = np.full((120, 1500), 235, np.uint8)
    pixels[40 : 40 + side, 700 : 700 + side] = 30
    assert normalize_line(pixels, 40).any() == shown


@pytest.mark.parametrize("shape", [(100, 1500), (300, 3000)])
def test_the_grain_of_paper_is_no_ink(shape):
    grain = np.random.default_rng(0).normal(225, 8, shape)
    assert not normalize_line(grain.clip(0, 255).astype(np.uint8), 40).any()
