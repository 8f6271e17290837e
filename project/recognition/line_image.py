"""..."""

from collections.abc import Sequence
from itertools import pairwise
from typing import NamedTuple

import numpy as np
from PIL import Image

from project.errors import InputError
from project.recognition.image import MIN_CONTRAST

MIN_SIDE = 8  # px: less than this is not a line of handwriting
MAX_ASPECT = 200  # width / height of the line image: the longest line that a sheet of paper can hold, with room
DARK = 96  # of 255: ink that counts where the line is measured
HALF_HEIGHT = 4  # what is shown above and below the middle of the writing, in mean distances of the ink from it
LEAST_INK, LEAST_INK_CONTRAST = 32, 72  # so many pixels, so much darker than the paper, are no specks and no grain


class Placement(NamedTuple):
    """Where a line image lies in its picture: column x of the one is column `left + scale * x` of the other."""

    left: float
    scale: float


def normalize_line(pixels: np.ndarray, height: int) -> np.ndarray:
    """`normalize_with_placement` without the place."""
    return normalize_with_placement(pixels, height)[0]


def normalize_with_placement(pixels: np.ndarray, height: int) -> tuple[np.ndarray, Placement]:
    """The picture of one line as the network reads it, and where that lies in the picture.

    pixels: uint8 (H, W), 0 black to 255 white, H and W at least `MIN_SIDE`; light ink on a dark ground is
    turned over. The line image is uint8 (1, height, W'), 0 paper to 255 ink: cut to the ink, the middle of the
    writing straightened, scaled by how far the ink spreads about that middle, aspect kept. So one tall letter,
    a speck or a climbing line does not make the writing small (Breuel et al. 2013, "High-performance OCR for
    printed English and Fraktur using LSTM networks", section III, does so too).
    ValueError names a size that cannot be a line.
    """
    if pixels.ndim != 2 or min(pixels.shape) < MIN_SIDE:
        raise InputError(f"a line picture is (H, W), both at least {MIN_SIDE} px; got shape {pixels.shape}")
    ink = ink_map(pixels)
    top, bottom, left, right = ink_box(ink)
    ink = ink[top:bottom, left:right]
    if (shrink := len(ink) // (3 * height)) > 1:
        ink = np.asarray(Image.fromarray(ink).reduce(shrink))
    middle, spread = center_line(ink)
    shown = round(2 * max(HALF_HEIGHT * spread, MIN_SIDE / 2))  # px of the picture to the height of the line image
    width = max(MIN_SIDE, round(ink.shape[1] * height / shown))
    if width > MAX_ASPECT * height:
        raise InputError(
            f"a line of {right - left} x {bottom - top} px, most of its ink within {shown * max(shrink, 1)} rows, is "
            f"{width / height:.0f} times as wide as high; at most {MAX_ASPECT} is read"
        )
    scaled = Image.fromarray(dewarp(ink, middle, shown)).resize((width, height), Image.Resampling.BILINEAR)
    return np.asarray(scaled)[None], Placement(left, (right - left) / width)  # (1, height, W')


def ink_map(pixels: np.ndarray) -> np.ndarray:
    """Stretch the contrast: uint8 (H, W), the paper's grey and lighter 0, the darkest ink 255."""
    # a few strokes on a large sheet are found by the second
    for share, contrast in ((0.5, MIN_CONTRAST), (100 * LEAST_INK / pixels.size, LEAST_INK_CONTRAST)):
        dark, middle, light = _percentiles(pixels, (share, 50, 100 - share))
        if max(middle - dark, light - middle) >= contrast:
            break
    else:
        return np.zeros_like(pixels)
    if middle - dark < light - middle:  # most of a line's picture is paper, so here the ground is dark
        pixels, dark, middle = 255 - pixels, 255 - light, 255 - middle
    stretch = np.arange(256.0)  # a look-up table: grey level -> ink
    stretch = (0.95 * middle - stretch) / (0.95 * middle - dark)  # 5 % under the paper's grey: its grain is no ink
    return np.rint(255 * stretch.clip(0, 1)).astype(np.uint8)[pixels]


def ink_box(ink: np.ndarray) -> tuple[int, int, int, int]:
    """Top, bottom, left and right of the ink, with a rim; of the whole where there is no ink. ink: uint8 (H, W)."""
    dark = ink > DARK
    rows, columns = np.flatnonzero(dark.sum(axis=1) > 1), np.flatnonzero(dark.any(axis=0))
    if not len(rows) or not len(columns):
        return 0, ink.shape[0], 0, ink.shape[1]
    rim = 2 + (rows[-1] - rows[0]) // 16
    top, left = max(rows[0] - rim, 0), max(columns[0] - 2 * rim, 0)
    bottom, right = max(rows[-1] + rim + 1, top + MIN_SIDE), max(columns[-1] + 2 * rim + 1, left + MIN_SIDE)
    return int(top), int(min(bottom, ink.shape[0])), int(left), int(min(right, ink.shape[1]))


def center_line(ink: np.ndarray) -> tuple[np.ndarray, float]:
    """The row of the middle of the writing at each column (W,), and the ink's mean distance from it, in px.

    ink: uint8 (H, W). First a slope, then what is left, averaged over several letters: a word such as "by" must
    not be taken for a falling line, so where there is little ink, the slope and the average are held back.
    """
    weight = np.where(ink > DARK, ink, 0).astype(np.float32)
    height, width = ink.shape
    x, y = np.arange(width, dtype=np.float32), np.arange(height, dtype=np.float32)
    mass, moment = weight.sum(axis=0), y @ weight  # (W,), (W,)
    total = float(mass.sum())
    if not total:
        return np.full(width, height / 2), height / (2 * HALF_HEIGHT)

    def spread(middle: np.ndarray) -> float:  # of ink in one row, that of the row itself
        return max(float((weight * np.abs(y[:, None] - middle)).sum()) / total, 1 / 4)

    x -= mass @ x / total  # from the centre of the ink
    middle = np.full(width, moment.sum() / total)
    for _ in range(2):  # the spread about a slope that is nearly right tells better how long a letter is
        held_back = (12 * spread(middle)) ** 2  # px^2: a line much longer than this keeps its whole slope
        middle += (moment - middle * mass) @ x / (mass @ x**2 + held_back * total) * x
    sigma = 8 * spread(middle)  # px: about three letters
    window = np.exp(-0.5 * (np.arange(-int(2.5 * sigma), int(2.5 * sigma) + 1) / sigma) ** 2)
    reach = len(window) // 2
    drift, near = (np.convolve(row, window)[reach : reach + width] for row in (moment - middle * mass, mass))
    middle += drift / (near + 0.5 * window.sum() * total / width)
    return middle, spread(middle)


def dewarp(ink: np.ndarray, middle: np.ndarray, height: int) -> np.ndarray:
    """`height` px of `ink`, half above and half below `middle` (W,), each piece of line pushed up or down to be level.

    uint8 (H, W) -> uint8 (height, W); what lies beyond the picture is paper.
    """
    width = ink.shape[1]
    edges = np.linspace(0, width, 2 + width // max(4, height // 3)).round().astype(int)
    tops = middle[np.minimum(edges, width - 1)] + 0.5 - height / 2
    pieces = zip(pairwise(edges.tolist()), pairwise(tops.tolist()), strict=True)
    mesh = [
        ((left, 0, right, height), (left, top, left, top + height, right, next_top + height, right, next_top))
        for (left, right), (top, next_top) in pieces
    ]
    return np.asarray(
        Image.fromarray(ink).transform((width, height), Image.Transform.MESH, mesh, Image.Resampling.BILINEAR)
    )


def _percentiles(pixels: np.ndarray, percents: Sequence[float]) -> list[int]:
    """Grey levels below which these shares of the pixels lie, from the histogram: faster than sorting."""
    shares = np.cumsum(Image.fromarray(pixels).histogram()) / pixels.size
    return [int(np.searchsorted(shares, percent / 100)) for percent in percents]
