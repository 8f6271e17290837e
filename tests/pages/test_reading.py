"""Pages made of the lines in project/test_inputs, whose texts are known, read by the base model."""

import time
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageDraw, ImageFont

from project.errors import InputError
from project.evaluation.metrics import cer
from project.pages.page import Page, box
from project.pages.reading import find_lines, is_page, read_page
from project.recognition.image import read_image
from project.recognition.recognizer import Recognizer
from project.tracking.registry import BASE

INPUTS = Path(__file__).parents[2] / "project" / "test_inputs"
PAPER, GAP, MARGIN = 235, 20, 60  # grey level, px, px


@pytest.fixture(scope="module")
def recognizer() -> Recognizer:
    return Recognizer.load(BASE)


@pytest.fixture(scope="module")
def lines() -> list[tuple[np.ndarray, str]]:
    """Return pictures of lines and their texts."""
    paths = sorted(INPUTS.glob("*.png"))[:6]
    return [(read_image(path), path.with_suffix(".gt.txt").read_text("utf-8").strip()) for path in paths]


def stacked(pictures: list[np.ndarray]) -> np.ndarray:
    """Return a page with pictures one below the other."""
    width = max(picture.shape[1] for picture in pictures) + 2 * MARGIN
    rows = [np.full((MARGIN, width), PAPER, np.uint8)]
    for picture in pictures:
        row = np.full((picture.shape[0] + GAP, width), PAPER, np.uint8)
        row[: picture.shape[0], MARGIN : MARGIN + picture.shape[1]] = np.minimum(picture, PAPER)
        rows.append(row)
    return np.concatenate([*rows, rows[0]])


@pytest.fixture(scope="module")
def page(lines) -> np.ndarray:
    return stacked([picture for picture, _ in lines])


@pytest.fixture(scope="module")
def cut_cer(lines, recognizer) -> float:
    """Return the CER of the lines as they were before they were put on a page."""
    read = recognizer.read([recognizer.line_image(picture) for picture, _ in lines])
    return cer([text for _, text in lines], read)


def page_cer(page: Page, lines: list[tuple[np.ndarray, str]]) -> float:
    assert len(page.lines) == len(lines)
    return cer([text for _, text in lines], [line.text for line in page.lines])


def test_a_page_is_read_as_well_as_the_lines_of_which_it_is_made(page, lines, recognizer, cut_cer):
    read = read_page(page, recognizer)
    assert page_cer(read, lines) <= cut_cer + 0.03
    assert read.text == "\n".join(line.text for line in read.lines)
    assert read.size == page.shape[::-1]
    assert read.turn == 0


def test_each_word_and_character_has_its_place_on_the_page(page, recognizer):
    read = read_page(page, recognizer)
    for line in read.lines:
        assert " ".join(word.text for word in line.words) == " ".join(line.text.split())
        assert "".join(character.text for character in line.characters) == line.text
        left, top, right, bottom = box(line.outline)
        for place in (*line.words, *line.characters):
            inner = box(place.outline)
            assert left - 2 <= inner[0] <= inner[2] <= right + 2
            assert top - 2 <= inner[1] <= inner[3] <= bottom + 2
        starts = [box(word.outline)[0] for word in line.words]
        assert starts == sorted(starts)
        assert top < line.baseline[0][1] < bottom


@pytest.mark.parametrize("quarters", [1, 2, 3])
def test_a_page_turned_by_quarters_is_read_with_its_places_in_the_turned_picture(
    quarters, page, lines, recognizer, cut_cer
):
    turned = np.ascontiguousarray(np.rot90(page, quarters))  # against the clock
    read = read_page(turned, recognizer)
    assert read.turn % 360 == 90 * quarters
    assert page_cer(read, lines) <= cut_cer + 0.05
    for one, other in zip(read.lines, read_page(page, recognizer).lines, strict=True):
        x, y = np.mean(other.outline, axis=0)
        height, width = page.shape
        for _ in range(quarters):
            x, y, width, height = y, width - x, height, width
        assert np.mean(one.outline, axis=0) == pytest.approx((x, y), abs=25)


def test_a_page_tilted_by_some_degrees_is_read(page, lines, recognizer, cut_cer):
    tilted = np.asarray(
        Image.fromarray(page).rotate(9, expand=True, fillcolor=PAPER, resample=Image.Resampling.BICUBIC)
    )
    read = read_page(tilted, recognizer)
    assert read.turn == pytest.approx(9, abs=1)
    assert page_cer(read, lines) <= cut_cer + 0.05


def test_an_empty_sheet_has_no_lines(recognizer):
    sheet = np.full((800, 600), PAPER, np.uint8)
    read = read_page(sheet, recognizer)
    assert read.lines == ()
    assert read.text == ""
    assert not is_page(sheet)


def test_a_picture_of_something_else_is_answered():
    noise = np.random.default_rng(0).integers(0, 256, (600, 800), dtype=np.uint8)
    assert len(find_lines(noise).cuts) < 5


def test_what_is_too_small_for_a_page_is_refused():
    with pytest.raises(InputError, match="both at least 32 px"):
        find_lines(np.full((20, 500), PAPER, np.uint8))


def test_lines_are_told_from_pages(page, lines):
    assert is_page(page)
    assert is_page(stacked([picture for picture, _ in lines[:2]]))
    assert not any(is_page(picture) for picture, _ in lines)


def test_white_chalk_on_a_blackboard_is_read_like_ink(page, lines, recognizer, cut_cer):
    assert page_cer(read_page(255 - page, recognizer), lines) <= cut_cer + 0.05


def test_print_among_handwriting_is_answered_and_the_handwriting_read_as_before(lines, recognizer, cut_cer):
    printed = []
    for text in ("MINISTRY OF THE INTERIOR", "Name, place of birth and trade"):
        picture = Image.new("L", (640, 48), PAPER)
        ImageDraw.Draw(picture).text((4, 4), text, 20, ImageFont.load_default(size=30))
        printed.append((np.asarray(picture), text))
    form = [printed[0], *lines[:3], printed[1], *lines[3:]]
    read = read_page(stacked([picture for picture, _ in form]), recognizer)
    assert page_cer(read, form) < cut_cer + 0.2
    by_hand = Page(read.size, read.turn, tuple(line for number, line in enumerate(read.lines) if number not in (0, 4)))
    assert page_cer(by_hand, lines) <= cut_cer + 0.05


def test_five_hundred_short_lines_in_two_columns_are_read_in_order_within_a_minute(recognizer):
    rows, pitch, columns = 250, 40, (80, 420)
    sheet = Image.new("L", (720, rows * pitch + 2 * MARGIN), PAPER)
    draw, font = ImageDraw.Draw(sheet), ImageFont.load_default(size=26)
    for row in range(rows):
        for left in columns:
            draw.text((left, MARGIN + row * pitch), "no milk today", 20, font)
    start = time.perf_counter()
    read = read_page(np.asarray(sheet), recognizer)
    assert time.perf_counter() - start < 60
    places = np.array([np.mean(line.outline, axis=0) for line in read.lines])
    assert len(places) == 2 * rows
    assert (places[:rows, 0] < columns[1]).all()
    assert (places[rows:, 0] > columns[1]).all()
    assert (np.diff(places[:rows, 1]) > 0).all()
    assert (np.diff(places[rows:, 1]) > 0).all()
    assert cer(["no milk today"] * len(places), [line.text for line in read.lines]) < 0.5
