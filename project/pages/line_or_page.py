"""A picture -> its pixels, and whether to read it as a line or as a page."""

import cv2
import numpy as np

from project.pages.reading import is_page
from project.recognition.image import Region, read_image, read_page_image
from project.recognition.picture_file import File, PageOf
from project.recognition.recognizer import Reading

LAYOUTS = ("auto", "line", "page")  # what a picture is taken for; the first finds out
STRIP_ASPECT, STRIP_PIXELS = 3, 2**20  # least width / height and most px of a strip
BAND, BAND_INK = 0.15, 0.004  # of the height, for a band of rows to count; of a row's px, for it to have ink
SURE = 0.87  # mean confidence of the characters of a line; two lines that are read as one are far less sure


def decode_picture(source: File | PageOf | Region, layout: str) -> tuple[np.ndarray, tuple[int, int] | None]:
    """Decode a picture, and return its pixels, uint8 (H, W), and None if it is to be read as a line.

    If it is to be read as a page, return the width and height of the file's picture instead of None: pixels may be
    fewer (see `image.read_page_image`). Raise InputError as `read_image` does.
    """
    pixels, size, layout = decode_undecided(source, layout)
    return pixels, size if layout == "page" or (layout == "auto" and is_page(pixels)) else None


def decode_undecided(source: File | PageOf | Region, layout: str) -> tuple[np.ndarray, tuple[int, int], str]:
    """Decode a picture, and return its pixels, uint8 (H, W), the width and height of the file's picture, and what to
    read it as, of `LAYOUTS`: "auto" where only its writing tells. A region of a page is a line.
    """
    if layout == "line" or isinstance(source, Region):
        pixels = read_image(source)
        return pixels, pixels.shape[::-1], "line"
    pixels, size = read_page_image(source)
    is_larger_than_a_line = pixels.shape[::-1] != size
    return pixels, size, "page" if is_larger_than_a_line else layout


def is_strip(pixels: np.ndarray) -> bool:
    """Return whether a picture uint8 (H, W) is so wide and small, with one band of ink, that it is read as a line
    before `is_page` is asked.

    That reading is needed for a line anyway, and if it `is_sure`, then `is_page`, which costs as much, is not.
    """
    height, width = pixels.shape
    return width >= STRIP_ASPECT * height and pixels.size <= STRIP_PIXELS and count_bands(pixels) < 2


def count_bands(pixels: np.ndarray) -> int:
    """Return how many bands of rows have ink, each `BAND` of the height or more, in a picture uint8 (H, W)."""
    _, ink = cv2.threshold(pixels, 0, 1, cv2.THRESH_BINARY_INV | cv2.THRESH_OTSU)
    has_ink = ink.sum(axis=1) > BAND_INK * pixels.shape[1]
    edges = np.flatnonzero(np.diff(np.concatenate([[False], has_ink, [False]]).astype(np.int8)))
    return int(np.sum(edges[1::2] - edges[::2] >= BAND * len(pixels)))


def is_sure(reading: Reading) -> bool:
    """Return whether a strip that was read like this is a line."""
    return reading.character_confidence >= SURE
