"""A picture of a page, turned any way -> the same with its lines level, and their courses in it."""

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np

from project.pages.detection import map_scale, text_map
from project.pages.text_lines import Course, find_pieces, usual_thickness

SIDE = 1250  # px: of the square that has the area of the first map
CORE_IN_MAP = 7.0  # px: where the cores of half of the pieces are thinner, the map is made larger
MAX_SIDE = 4000  # px: of the square that has the area of the largest map
CORE = 20.0  # px: of the usual core in the upright page; more takes time and is read no better
MAX_UPRIGHT = 5000  # px: of the square that has the area of the largest upright page
MIN_SKEW, MAX_SKEW = 0.5, 6.0  # degrees: less is left as it is; with more the map is made again, of the level page


@dataclass(frozen=True)
class Upright:
    """A page with its lines level; its px are not those of the picture.

    pixels: uint8 (H, W). matrix: (2, 3), from places on it to places in the picture, px. pieces: of lines.
    """

    pixels: np.ndarray
    matrix: np.ndarray
    pieces: list[Course]

    @property
    def turn(self) -> float:
        """Degrees clockwise by which the picture was turned, over -180 to 180."""
        return -float(np.degrees(np.arctan2(self.matrix[1, 0], self.matrix[0, 0])))


def level(picture: np.ndarray) -> Upright:
    """Return the page of a picture uint8 (H, W), turned by a quarter and by some degrees so that lines are level.

    It may yet be upside down, which only reading it can tell.
    """
    pixels, matrix = picture, np.eye(3)
    pieces = find_text(pixels)
    if is_sideways(pieces):
        pixels, back = np.rot90(pixels, -1), np.array([[0, 1, 0], [-1, 0, pixels.shape[0]], [0, 0, 1]])
        pixels, matrix = np.ascontiguousarray(pixels), matrix @ back
        pieces = find_text(pixels)
    angle = skew(pieces)
    shrink = min(1.0, CORE / usual_thickness(pieces)) if pieces else 1.0
    shrink = min(shrink, map_scale(pixels.shape, MAX_UPRIGHT))
    turned, back = turned_by(pixels, -angle if abs(angle) > MIN_SKEW else 0.0, shrink)
    matrix = matrix @ np.vstack([back, [0, 0, 1]])
    if abs(angle) > MAX_SKEW:
        pieces = find_text(turned)
    else:
        there = cv2.invertAffineTransform(back)
        pieces = [piece.transformed(there) for piece in pieces]
    return Upright(turned, matrix[:2], pieces)


def upside_down(page: Upright) -> Upright:
    """Return the page turned by 180 degrees."""
    height, width = page.pixels.shape
    half_turn = np.array([[-1.0, 0, width], [0, -1, height]])
    matrix = page.matrix @ np.vstack([half_turn, [0, 0, 1]])
    pieces = [piece.transformed(half_turn).reversed() for piece in page.pieces]
    return Upright(np.ascontiguousarray(page.pixels[::-1, ::-1]), matrix, pieces)


def find_text(pixels: np.ndarray) -> list[Course]:
    """Return the pieces of lines in a picture uint8 (H, W), in its px. Small writing, and a page on which nothing
    is found, is looked at in a larger map."""
    scale, most = map_scale(pixels.shape, SIDE), map_scale(pixels.shape, MAX_SIDE)
    pieces, factor = _pieces(pixels, scale)
    if not pieces and scale < most:
        scale = min(2 * scale, most)
        pieces, factor = _pieces(pixels, scale)
    if pieces and scale < most:
        core = usual_thickness(pieces) * factor
        if core < CORE_IN_MAP:
            pieces, _ = _pieces(pixels, min(scale * 2 * CORE_IN_MAP / core, most))
    return pieces


def _pieces(pixels: np.ndarray, scale: float) -> tuple[list[Course], float]:
    probability = text_map(pixels, scale)
    factors = np.divide(probability.shape, pixels.shape)  # of rows, of columns
    back = np.array([[1 / factors[1], 0, 0], [0, 1 / factors[0], 0]])
    return [piece.transformed(back) for piece in find_pieces(probability)], float(factors.mean())


def is_sideways(pieces: Sequence[Course]) -> bool:
    """Return whether most of the text, by its length, runs up or down the page."""
    steep = [piece.length * (1 if abs(piece.angle) > 45 else -1) for piece in pieces if is_long(piece)]
    return sum(steep) > 0


def skew(pieces: Sequence[Course]) -> float:
    """Return the degrees by which the lines fall: the median, by length."""
    angles = np.array([piece.angle for piece in pieces if is_long(piece) and abs(piece.angle) < 45])
    if not len(angles):
        return 0.0
    lengths = np.array([piece.length for piece in pieces if is_long(piece) and abs(piece.angle) < 45])
    order = angles.argsort()
    total = lengths[order].cumsum()
    return float(angles[order][np.searchsorted(total, total[-1] / 2)])


def is_long(piece: Course) -> bool:
    """Return whether a piece is so much longer than thick that its direction is that of its line."""
    return piece.length > 5 * piece.thickness


def turned_by(pixels: np.ndarray, degrees: float, scale: float) -> tuple[np.ndarray, np.ndarray]:
    """Return a picture uint8 (H, W) turned by degrees clockwise and shrunk, whole; and the map (2, 3) back to it."""
    height, width = pixels.shape
    if not degrees:
        new_height, new_width = (max(1, round(side * scale)) for side in (height, width))
        shrunk = cv2.resize(pixels, (new_width, new_height), interpolation=cv2.INTER_AREA) if scale < 1 else pixels
        return shrunk, np.array([[width / new_width, 0, 0], [0, height / new_height, 0]])
    if scale < 1:  # first, so that no detail is lost between its px
        shrunk, back = turned_by(pixels, 0.0, scale)
        turned, further = turned_by(shrunk, degrees, 1.0)
        return turned, back @ np.vstack([further, [0, 0, 1]])
    there = cv2.getRotationMatrix2D((width / 2, height / 2), -degrees, 1.0)
    cosine, sine = abs(there[0, 0]), abs(there[0, 1])
    new_width, new_height = round(height * sine + width * cosine), round(height * cosine + width * sine)
    there[:, 2] += (new_width / 2 - width / 2, new_height / 2 - height / 2)
    turned = cv2.warpAffine(pixels, there, (new_width, new_height), borderMode=cv2.BORDER_REPLICATE)
    return turned, cv2.invertAffineTransform(there)
