"""Grey pixels of one line -> the line image that the network reads: ink only, level, of one height.

Training and serving go through these same functions, so they cannot drift apart.
"""

from itertools import pairwise
from typing import NamedTuple

import numpy as np
from PIL import Image

from project.errors import InputError
from project.recognition.ink import DARK, ink_map, pen_width

MIN_SIDE = 8  # px of a line's picture
MAX_ASPECT = 200  # width / height of the line image: more than the longest line on a sheet of paper
MARK_SPREAD = 1.2  # mean distance of the ink from its centre line, in pen widths, below which there are no letters
MARK_LENGTH = 40  # pen widths: marks only, as "..." or "-", are no longer
USUAL_SPREAD = 2.2  # pen widths: the mean distance of letters
HALF_HEIGHT = 4  # of the line image, in mean distances of the ink from the centre line


class Placement(NamedTuple):
    """Where a line image lies in its picture: its column x is the picture's column `left + scale * x`."""

    left: float
    scale: float


def normalize_line(pixels: np.ndarray, height: int) -> np.ndarray:
    """Return the line image alone of `normalize_with_placement`."""
    return normalize_with_placement(pixels, height)[0]


def normalize_with_placement(pixels: np.ndarray, height: int) -> tuple[np.ndarray, Placement]:
    """Turn the pixels of one line into its line image, and tell where that lies in the picture.

    pixels: uint8 (H, W), 0 black to 255 white, H and W at least `MIN_SIDE`; light ink on dark ground is inverted.
    The line image is uint8 (1, height, W'), 0 paper to 255 ink: cropped to the ink, dewarped along its centre line and
    scaled by the ink's mean distance from it, aspect kept. So a tall letter, a speck or a climbing line does not make
    the writing small (as in Breuel et al. 2013, "High-performance OCR for printed English and Fraktur using LSTM
    networks", section III). Raise InputError that names a size that cannot be a line.
    """
    if pixels.ndim != 2 or min(pixels.shape) < MIN_SIDE:
        raise InputError(f"a line picture is (H, W), both at least {MIN_SIDE} px; got shape {pixels.shape}")
    ink = ink_map(pixels)
    top, bottom, left, right = ink_box(ink)
    ink = ink[top:bottom, left:right]
    if (shrink := len(ink) // (3 * height)) > 1:
        ink = np.asarray(Image.fromarray(ink).reduce(shrink))
    middle, spread = center_line(ink)
    pen = pen_width((ink > DARK).astype(np.uint8))
    if spread < MARK_SPREAD * pen and ink.shape[1] < MARK_LENGTH * pen:  # the size of letters is that of their strokes
        spread = USUAL_SPREAD * pen
        centre = (len(pixels) / 2 - top) / max(shrink, 1)  # of the picture: a mark keeps its height in the line
        middle = np.clip(centre, middle - HALF_HEIGHT / 2 * spread, middle + HALF_HEIGHT / 2 * spread)
    shown = round(2 * max(HALF_HEIGHT * spread, MIN_SIDE / 2))  # px of the picture to the height of the line image
    width = max(MIN_SIDE, round(ink.shape[1] * height / shown))
    if width > MAX_ASPECT * height:
        raise InputError(
            f"a line of {right - left} x {bottom - top} px, most of its ink within {shown * max(shrink, 1)} rows, is "
            f"{width / height:.0f} times as wide as high; at most {MAX_ASPECT} is read"
        )
    scaled = Image.fromarray(dewarp(ink, middle, shown)).resize((width, height), Image.Resampling.BILINEAR)
    return np.asarray(scaled)[None], Placement(left, (right - left) / width)  # (1, height, W')


def ink_box(ink: np.ndarray) -> tuple[int, int, int, int]:
    """Return top, bottom, left and right of the ink, with a rim; of the whole if there is none. ink: uint8 (H, W)."""
    dark = ink > DARK
    rows, columns = np.flatnonzero(dark.sum(axis=1) > 1), np.flatnonzero(dark.any(axis=0))
    if not len(rows) or not len(columns):
        return 0, ink.shape[0], 0, ink.shape[1]
    rim = 2 + (rows[-1] - rows[0]) // 16
    top, left = max(rows[0] - rim, 0), max(columns[0] - 2 * rim, 0)
    bottom, right = max(rows[-1] + rim + 1, top + MIN_SIDE), max(columns[-1] + 2 * rim + 1, left + MIN_SIDE)
    return int(top), int(min(bottom, ink.shape[0])), int(left), int(min(right, ink.shape[1]))


def center_line(ink: np.ndarray) -> tuple[np.ndarray, float]:
    """Estimate the centre line, a row for each column (W,), and the ink's mean distance from it, in px.

    ink: uint8 (H, W). A slope first, then a moving average of the residual. Both are regularised towards a level line,
    so that short words do not tilt ("by" is no falling line).
    """
    # The ink's mass and first moment in each column
    weight = np.where(ink > DARK, ink, 0).astype(np.float32)
    height, width = ink.shape
    x, y = np.arange(width, dtype=np.float32), np.arange(height, dtype=np.float32)
    mass, moment = weight.sum(axis=0), y @ weight  # (W,), (W,)
    total = float(mass.sum())
    if not total:
        return np.full(width, height / 2), height / (2 * HALF_HEIGHT)

    def spread(middle: np.ndarray) -> float:
        """Return the ink's mean distance from `middle`; ink of a single row has that of the row itself."""
        return max(float((weight * np.abs(y[:, None] - middle)).sum()) / total, 1 / 4)

    # Ridge regression of a slope; twice, since the spread about the first slope tells the length of a letter better
    x -= mass @ x / total  # from the centre of the ink
    middle = np.full(width, moment.sum() / total)
    for _ in range(2):
        ridge = (12 * spread(middle)) ** 2  # px^2: the slope of a much longer line is kept whole
        middle += (moment - middle * mass) @ x / (mass @ x**2 + ridge * total) * x
    # Gaussian average of the residual, shrunk where there is little ink near
    sigma = 8 * spread(middle)  # px: about three letters
    window = np.exp(-0.5 * (np.arange(-int(2.5 * sigma), int(2.5 * sigma) + 1) / sigma) ** 2)
    half = len(window) // 2
    drift, near = (np.convolve(row, window)[half : half + width] for row in (moment - middle * mass, mass))
    middle += drift / (near + 0.5 * window.sum() * total / width)
    return middle, spread(middle)


def dewarp(ink: np.ndarray, middle: np.ndarray, height: int) -> np.ndarray:
    """Level the centre line `middle` (W,) and keep `height` px of `ink`, half above and half below it.

    uint8 (H, W) -> uint8 (height, W), shifted piece by piece; beyond the picture is paper.
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
