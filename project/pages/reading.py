"""A picture of a page -> its lines in reading order -> what they say.

This module imports OpenCV and runs the text detector: import it where a page is read, and not before.
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

import numpy as np

from project.errors import InputError
from project.pages.cells import fill_cells, split_at
from project.pages.detection import map_scale
from project.pages.ink import is_light_on_dark, separate_ink
from project.pages.line_cut import LineCut, cut_lines
from project.pages.orientation import Upright, find_text, is_sideways, level, pieces_at, upside_down
from project.pages.page import Line, Outline, Page, PlacedCharacter, Word
from project.pages.reading_order import reading_order, regions, row_order
from project.pages.text_lines import join_pieces, usual_thickness
from project.recognition import image
from project.recognition.picture_file import File, PageOf
from project.recognition.recognizer import CHUNK_LINES, Reading, Recognizer

MIN_PAGE_SIDE = 32  # px: less is no page
MAX_LINES = 2000  # on a page
LOOK_SIDE = 640  # px: of the square that has the area of the map that tells a page from a line
MAX_PAGE_ASPECT = 12  # width / height: a picture that is wider is of a line
OUTLINE_STEP, BASELINE_STEP = 60, 100  # px of the line's picture between two points
TRIED = 7  # lines that are read both ways to tell which way is up


@dataclass(frozen=True)
class Layout:
    """The lines of a page, not yet read."""

    size: tuple[int, int]  # width and height of the picture, px
    turn: float  # as in `Page`
    cuts: list[LineCut]  # the pictures of the lines in reading order, with their places in the picture of the page
    regions: list[int]  # of each line, as in `Line`

    @property
    def pictures(self) -> list[np.ndarray]:
        """The pictures of the lines, uint8 (H, W) each: level, and without their neighbours' ink."""
        return [cut.pixels for cut in self.cuts]

    @property
    def page(self) -> Page:
        """The page with its lines' places and without texts."""
        lines = (self.line(number) for number in range(len(self.cuts)))
        return Page(self.size, self.turn, tuple(lines))

    def line(self, number: int) -> Line:
        """Return the place of a line, counted from 0."""
        cut = self.cuts[number]
        last = len(cut.points) - 1
        columns = whole_steps(0, last, BASELINE_STEP)
        baseline = cut.on_page(columns, cut.baseline[columns])
        return Line(self.outline(number, 0, last), self._whole(baseline), self.regions[number])

    def outline(self, number: int, start: float, stop: float) -> Outline:
        """Return the polygon about the ink of a line from one column of its picture to another."""
        cut = self.cuts[number]
        last = len(cut.points) - 1
        columns = whole_steps(min(max(start, 0), last), min(max(stop, 0), last), OUTLINE_STEP)
        upper, lower = (cut.on_page(columns, rows[columns]) for rows in (cut.top, cut.bottom))
        return self._whole(np.concatenate([upper, lower[::-1]]))

    def _whole(self, places: np.ndarray) -> Outline:
        """Round places (M, 2) to whole px of the picture."""
        whole = np.rint(places).astype(int).clip(0, np.subtract(self.size, 1))
        return tuple((x, y) for x, y in whole.tolist())


def whole_steps(start: float, stop: float, step: int) -> np.ndarray:
    """Return whole columns from `start` to `stop`, both with them, that are about `step` apart."""
    return np.rint(np.linspace(start, stop, 2 + int(stop - start) // step)).astype(int)


def find_lines(
    picture: np.ndarray | File | PageOf, recognizer: Recognizer | None = None, size: tuple[int, int] | None = None
) -> Layout:
    """Find the lines on a picture of a page: uint8 (H, W), 0 black to 255 white, or a file.

    The page may be turned by a quarter or by some degrees; where a recogniser is given, which tells writing from
    writing upside down, also by half a turn. A page without writing has no lines. size: width and height in px of which
    places are given; by default those of the picture.
    Raise InputError that names what cannot be a page.
    """
    pixels, own_size = (
        (picture, picture.shape[::-1]) if isinstance(picture, np.ndarray) else image.read_page_image(picture)
    )
    if pixels.ndim != 2 or min(pixels.shape) < MIN_PAGE_SIDE:
        raise InputError(f"a picture of a page is (H, W), both at least {MIN_PAGE_SIDE} px; got shape {pixels.shape}")
    page = level(pixels)
    cuts, numbers = _cut(page)
    if cuts and recognizer and _reads_better_upside_down(cuts, recognizer):
        page = upside_down(page)
        cuts, numbers = _cut(page)
    width, height = size or own_size
    full_size = np.array(
        [[width / pixels.shape[1], 0, 0], [0, height / pixels.shape[0], 0]]
    )  # it may have been reduced
    return Layout((width, height), round(page.turn, 2) + 0.0, [cut.transformed(full_size) for cut in cuts], numbers)


def read_page(
    picture: np.ndarray | File | PageOf,
    recognizer: Recognizer,
    decoder: str = "best_path",
    size: tuple[int, int] | None = None,
    **params: int,
) -> Page:
    """Find the lines on a picture of a page (see `find_lines`) and read them.

    size: as in `find_lines`. decoder, and in params `beam_width` and `alternatives`: as in `Recognizer.transcribe`.
    """
    layout = find_lines(picture, recognizer, size)
    return Page(layout.size, layout.turn, tuple(read_lines(layout, recognizer, decoder, **params)))


def read_lines(layout: Layout, recognizer: Recognizer, decoder: str = "best_path", **params: int) -> Iterator[Line]:
    """Read the lines that were found on a page; params as in `read_page`."""
    for start in range(0, len(layout.cuts), CHUNK_LINES):
        pictures = layout.pictures[start : start + CHUNK_LINES]
        line_images, places = zip(*map(recognizer.normalize_with_placement, pictures), strict=True)
        readings = recognizer.transcribe(line_images, decoder, **params)
        for number, (reading, place, line_image) in enumerate(zip(readings, places, line_images, strict=True), start):
            columns = [
                (place.left + place.scale * character.start,
                 place.left + place.scale * min(character.stop, line_image.shape[2]))
                for character in reading.characters
            ]  # fmt: skip
            yield place_reading(layout, number, reading, columns)


def is_page(picture: np.ndarray) -> bool:
    """Return whether a picture uint8 (H, W) shows several lines of writing, one below the other, or a line."""
    if min(picture.shape) < 2 * MIN_PAGE_SIDE or picture.shape[1] > MAX_PAGE_ASPECT * picture.shape[0]:
        return False
    pieces, _ = pieces_at(picture, map_scale(picture.shape, LOOK_SIDE))
    lines = join_pieces(pieces or find_text(picture))
    sideways = is_sideways(lines)
    lines = [line for line in lines if (abs(line.angle) > 45) == sideways]
    longest = max((line.length for line in lines), default=0.0)
    across = 0 if sideways else 1
    middles = sorted((line.points[:, across].mean(), line.thickness) for line in lines if line.length > longest / 3)
    return any(lower - upper > one + other for (upper, one), (lower, other) in pairwise(middles))


def place_reading(layout: Layout, number: int, reading: Reading, columns: Sequence[tuple[float, float]]) -> Line:
    """Return what was read in a line with its places on the page.

    columns: where in the line's picture each character starts and stops, px.
    """
    characters = tuple(
        PlacedCharacter(character.text, character.confidence, layout.outline(number, *span))
        for character, span in zip(reading.characters, columns, strict=True)
    )
    words = []
    for start, stop in word_spans(reading.text):
        sure = min(character.confidence for character in characters[start:stop])
        outline = layout.outline(number, *span_of(columns[start:stop]))
        words.append(Word(reading.text[start:stop], sure, outline))
    return replace(
        layout.line(number),
        text=reading.text,
        confidence=reading.confidence,
        words=tuple(words),
        characters=characters,
        alternatives=tuple(reading.alternatives),
    )


def span_of(columns: Sequence[tuple[float, float]]) -> tuple[float, float]:
    """Return where the characters of a word start and stop, px; the first of a word may be the one at its right."""
    return min(start for start, _ in columns), max(stop for _, stop in columns)


def word_spans(text: str) -> list[tuple[int, int]]:
    """Return where each word of a text starts and stops."""
    return [match.span() for match in re.finditer(r"[^ ]+", text)]


def _cut(page: Upright) -> tuple[list[LineCut], list[int]]:
    """Return the cuts of a level page in reading order, with places in its picture, and each one's block, from 0."""
    if not page.pieces:
        return [], []
    pixels = 255 - page.pixels if is_light_on_dark(page.pixels, page.pieces) else page.pixels
    sheet = separate_ink(pixels, usual_thickness(page.pieces))
    courses = join_pieces(split_at(page.pieces, sheet.rules), sheet.rules)
    courses = fill_cells(courses, sheet.ink & ~sheet.rules, sheet.rules)
    if len(courses) > MAX_LINES:
        raise InputError(f"{len(courses)} lines on a page; at most {MAX_LINES} are read")
    boxes = np.array([course.box for course in courses])
    order = row_order(boxes) if sheet.rules.any() else reading_order(boxes)
    courses, boxes = [courses[index] for index in order], boxes[order]
    return [cut.transformed(page.matrix) for cut in cut_lines(sheet, courses)], regions(boxes)


def _reads_better_upside_down(cuts: Sequence[LineCut], recognizer: Recognizer) -> bool:
    """Return whether the recogniser is surer of lines when they are turned by 180 degrees."""
    longest = sorted((cut.pixels for cut in cuts), key=lambda pixels: pixels.shape[1])[-TRIED:]
    turned = [np.ascontiguousarray(pixels[::-1, ::-1]) for pixels in longest]
    upright, inverted = (
        sum(one.character_confidence for one in recognizer.transcribe(list(map(recognizer.line_image, pictures))))
        for pictures in (longest, turned)
    )
    return inverted > upright
