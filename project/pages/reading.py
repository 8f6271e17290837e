"""A picture of a page -> its lines in reading order -> what they say.

What comes from here imports OpenCV and runs the text detector: import it where a page is read, not before.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import numpy as np

from project.errors import InputError
from project.pages.ink import separate_ink
from project.pages.line_cut import LineCut, cut_lines
from project.pages.orientation import Upright, find_text, level, upside_down, usual_thickness
from project.pages.page import Character, Line, Outline, Page, Word, word_spans
from project.pages.reading_order import reading_order, regions
from project.pages.text_lines import join_pieces, split_at
from project.recognition.image import read_image
from project.recognition.recognizer import CHUNK_LINES, Reading, Recognizer

MIN_SIDE = 32  # px: less is no page
MAX_LINES = 2000  # on a page
MAX_PAGE_ASPECT = 12  # width / height: a picture that is wider is of a line
TRIED = 5  # lines that are read both ways to tell which way is up


@dataclass(frozen=True)
class Layout:
    """The lines of a page, not yet read.

    size: width and height of the picture, px. turn: see `Page`. cuts: the pictures of the lines in reading order, with
    their places in the picture of the page. regions: of each, the number of the block it stands in.
    """

    size: tuple[int, int]
    turn: float
    cuts: list[LineCut]
    regions: list[int]

    @property
    def pictures(self) -> list[np.ndarray]:
        """The pictures of the lines, uint8 (H, W) each, level, without their neighbours' ink."""
        return [cut.pixels for cut in self.cuts]


def find_lines(picture: np.ndarray | bytes | str | Path, recognizer: Recognizer | None = None) -> Layout:
    """Find the lines on a picture of a page: uint8 (H, W), 0 black to 255 white, or what `read_image` takes.

    A page is turned by a quarter and by some degrees as its lines need it; with a recogniser, which tells writing from
    writing upside down, also by half a turn. A page without writing has no lines.
    InputError names what cannot be a page.
    """
    pixels = picture if isinstance(picture, np.ndarray) else read_image(picture)
    if pixels.ndim != 2 or min(pixels.shape) < MIN_SIDE:
        raise InputError(f"a picture of a page is (H, W), both at least {MIN_SIDE} px; got shape {pixels.shape}")
    page = level(pixels)
    cuts, numbers = _cut(page)
    if cuts and recognizer and _reads_better_upside_down(cuts, recognizer):
        page = upside_down(page)
        cuts, numbers = _cut(page)
    return Layout((pixels.shape[1], pixels.shape[0]), round(page.turn, 2), cuts, numbers)


def read_page(
    picture: np.ndarray | bytes | str | Path, recognizer: Recognizer, decoder: str = "best_path", **params
) -> Page:
    """Find the lines on a picture of a page (see `find_lines`) and read them.

    decoder, and in params `beam_width` and `alternatives`: as in `Recognizer.transcribe`.
    """
    layout = find_lines(picture, recognizer)
    lines = []
    for start in range(0, len(layout.cuts), CHUNK_LINES):
        cuts = layout.cuts[start : start + CHUNK_LINES]
        line_images, places = zip(*(recognizer.normalize_with_placement(cut.pixels) for cut in cuts), strict=True)
        for number, reading in enumerate(recognizer.transcribe(line_images, decoder, **params)):
            place, width = places[number], line_images[number].shape[2]
            columns = [
                (place.left + place.scale * character.start, place.left + place.scale * min(character.stop, width))
                for character in reading.characters
            ]
            lines.append(line_on_page(cuts[number], layout.regions[start + number], reading, columns))
    return Page(layout.size, layout.turn, tuple(lines))


def is_page(picture: np.ndarray) -> bool:
    """Return whether a picture uint8 (H, W) shows more than one line of writing, one below the other."""
    if min(picture.shape) < MIN_SIDE or picture.shape[1] > MAX_PAGE_ASPECT * picture.shape[0]:
        return False
    lines = [course for course in join_pieces(find_text(picture), np.zeros((1, 1), bool)) if abs(course.angle) < 45]
    longest = max((line.length for line in lines), default=0.0)
    middles = sorted((line.points[:, 1].mean(), line.thickness) for line in lines if line.length > longest / 3)
    return any(lower - upper > one + other for (upper, one), (lower, other) in pairwise(middles))


def line_on_page(cut: LineCut, region: int, reading: Reading, columns: Sequence[tuple[float, float]]) -> Line:
    """Return a reading with its places on the page. columns: of the cut, for each character from where to where, px."""
    characters = tuple(
        Character(character.text, character.confidence, outline_on_page(cut, *span))
        for character, span in zip(reading.characters, columns, strict=True)
    )
    words = []
    for start, stop in word_spans(reading.text):
        own = characters[start:stop]
        outline = outline_on_page(cut, columns[start][0], columns[stop - 1][1])
        words.append(Word(reading.text[start:stop], min(one.confidence for one in own), outline))
    empty = empty_line(cut, region)
    return Line(
        empty.outline, empty.baseline, region, reading.text, reading.confidence, tuple(words), characters,
        tuple(reading.alternatives),
    )  # fmt: skip


def empty_line(cut: LineCut, region: int) -> Line:
    """Return a line that was found and not read."""
    columns = np.linspace(0, len(cut.points) - 1, 2 + len(cut.points) // 100)
    baseline = cut.on_page(columns, np.interp(columns, np.arange(len(cut.points)), cut.baseline))
    return Line(outline_on_page(cut, 0, len(cut.points) - 1), rounded(baseline), region)


def outline_on_page(cut: LineCut, start: float, stop: float) -> Outline:
    """Return the polygon about the ink of a line from one column of its picture to another."""
    column = np.arange(len(cut.points))
    columns = np.linspace(start, stop, 2 + int(stop - start) // 60)
    upper, lower = (cut.on_page(columns, np.interp(columns, column, rows)) for rows in (cut.top, cut.bottom))
    return rounded(np.concatenate([upper, lower[::-1]]))


def rounded(points: np.ndarray) -> Outline:
    return tuple((round(x, 1), round(y, 1)) for x, y in points.tolist())


def _cut(page: Upright) -> tuple[list[LineCut], list[int]]:
    """Return the cuts of an upright page in reading order, in px of the picture, and the number of each one's block."""
    if not page.pieces:
        return [], []
    sheet = separate_ink(page.pixels, usual_thickness(page.pieces))
    courses = join_pieces(split_at(page.pieces, sheet.rules), sheet.rules)
    if len(courses) > MAX_LINES:
        raise InputError(f"{len(courses)} lines on a page; at most {MAX_LINES} are read")
    boxes = np.array([course.box for course in courses])
    order = reading_order(boxes)
    courses, boxes = [courses[index] for index in order], boxes[order]
    return [cut.transformed(page.matrix) for cut in cut_lines(sheet, courses)], regions(boxes)


def _reads_better_upside_down(cuts: Sequence[LineCut], recognizer: Recognizer) -> bool:
    """Return whether the recogniser is surer of lines when they are turned by 180 degrees."""
    longest = sorted(cuts, key=lambda cut: cut.pixels.shape[1])[-TRIED:]
    pictures = [cut.pixels for cut in longest]
    turned = [np.ascontiguousarray(picture[::-1, ::-1]) for picture in pictures]
    line_images = [recognizer.line_image(picture) for picture in pictures + turned]
    sure = [certainty(reading) for reading in recognizer.transcribe(line_images)]
    return sum(sure[TRIED:]) > sum(sure[: len(pictures)])


def certainty(reading: Reading) -> float:
    """Return how sure a reading is of its characters, in the mean, 0 to 1."""
    return float(np.mean([character.confidence for character in reading.characters] or [0.0]))
