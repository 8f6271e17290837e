"""A picture -> its pixels, and whether to read it as a line or as a page."""

import numpy as np

from project.pages.reading import is_page
from project.recognition.image import Region, read_image, read_page
from project.recognition.picture_file import File, PageOf

LAYOUTS = ("auto", "line", "page")  # what a picture is taken for; the first finds out


def decode(source: File | PageOf | Region, layout: str) -> tuple[np.ndarray, tuple[int, int] | None]:
    """Decode a picture, and return its pixels, uint8 (H, W), and None if it is to be read as a line.

    If it is to be read as a page, return the width and height of the file's picture instead of None: pixels may be
    fewer (see `image.read_page`). A region of a page is a line. Raise InputError as `read_image` does.
    """
    if layout == "line" or isinstance(source, Region):
        return read_image(source), None
    pixels, size = read_page(source)
    is_larger_than_a_line = pixels.shape[::-1] != size
    return pixels, size if layout == "page" or is_larger_than_a_line or is_page(pixels) else None
