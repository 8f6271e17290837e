"""A picture -> its pixels, and whether to read it as a line or as a page."""

from collections.abc import Callable

import numpy as np

from project.pages.reading import is_page
from project.recognition.image import Region, read_image, read_page_image
from project.recognition.picture_file import File, PageOf
from project.recognition.recognizer import Reading

LAYOUTS = ("auto", "line", "page")  # what a picture is taken for; the first finds out
STRIP_ASPECT, STRIP_PIXELS = 3, 2**20  # least width / height and most px of a strip
SURE = 0.94  # mean confidence of the characters of a line; two lines that are read as one are far less sure


def decode_picture(
    source: File | PageOf | Region, layout: str, is_page: Callable[[np.ndarray], bool] = is_page
) -> tuple[np.ndarray, tuple[int, int] | None]:
    """Decode a picture, and return its pixels, uint8 (H, W), and None if it is to be read as a line.

    If it is to be read as a page, return the width and height of the file's picture instead of None: pixels may be
    fewer (see `image.read_page_image`). A region of a page is a line. Raise InputError as `read_image` does.
    """
    if layout == "line" or isinstance(source, Region):
        return read_image(source), None
    pixels, size = read_page_image(source)
    is_larger_than_a_line = pixels.shape[::-1] != size
    return pixels, size if layout == "page" or is_larger_than_a_line or is_page(pixels) else None


def is_strip(pixels: np.ndarray) -> bool:
    """Return whether a picture uint8 (H, W) is so wide and small that it is best read as a line before `is_page`.

    That reading is needed for a line anyway, and if it `is_sure`, then `is_page`, which costs as much, is not.
    """
    return pixels.shape[1] >= STRIP_ASPECT * pixels.shape[0] and pixels.size <= STRIP_PIXELS


def is_sure(reading: Reading) -> bool:
    """Return whether a strip that was read like this is a line."""
    return reading.character_confidence >= SURE
