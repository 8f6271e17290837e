"""A picture file, its bytes, or a region of a page -> grey pixels.

Training and serving read pictures by these same functions, so they cannot drift apart.
"""

import base64
import binascii
import functools
import math
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike
from PIL import Image, ImageDraw, ImageOps

from project.errors import InputError
from project.recognition.picture_file import (
    MAX_PAGE_PIXELS,
    MAX_PIXELS,
    File,
    PageOf,
    open_picture,
    printable_path,
)

DEPTHS = (1, 255, 1023, 4095, 16383, 65535)  # what white may be: of floats, of 8, 10, 12, 14 and 16 bits
MAX_DISTORTION = 0.1  # of the logarithm of a page's aspect, upright, from that of the page in its XML
MIN_SEEN = 0.9  # share of a region's box that must lie on its page
MIN_CONTRAST = 24  # grey levels between paper and ink; below it the picture is taken to be empty paper
MIN_HUE_GAIN = 2  # by how much the contrast along the main axis of the colours must exceed that of luminance
COLOURS = 20_000  # pixels, as many of a picture show how its colours are spread


class Region(NamedTuple):
    """A line on the picture of a page."""

    page: str  # the picture's path
    outline: tuple[tuple[float, float], ...]  # a polygon of (x, y)
    size: tuple[float, float] | None = None  # width and height of the page in the outline's units; None: px
    angle: float = 0.0  # degrees, in which the line runs: 0 to the right, 90 downwards


def read_image(source: File | PageOf | Region) -> np.ndarray:
    """Decode the picture of a line: a file (its path or its bytes), a page of one, or a region of a page, to grey.

    Returns uint8 (H, W), 0 black to 255 white. Upright by its EXIF tag; what is transparent becomes white.
    Raise InputError that names what is wrong: no such file, not a picture, cut short, too many pixels, several pages
    (see `picture_file.pages_of`).
    """
    if isinstance(source, Region):
        return _read_region(source)
    with open_picture(source, MAX_PIXELS) as picture:
        return grey(ImageOps.exif_transpose(picture))


def read_page_image(source: File | PageOf, upright: bool = True) -> tuple[np.ndarray, tuple[int, int]]:
    """Decode the picture of a page to grey, uint8 (H, W), and return it with its own width and height.

    The picture may have up to `MAX_PAGE_PIXELS`; above `MAX_PIXELS` it is returned at half of its size. It is turned
    upright by its EXIF tag, or not. Raise InputError as `read_image` does.
    """
    with open_picture(source, MAX_PAGE_PIXELS) as picture:
        size = picture.size
        reduction = math.ceil(math.sqrt(math.prod(size) / MAX_PIXELS))
        if reduction > 1:
            picture.draft(None, (size[0] // reduction, size[1] // reduction))  # a JPEG is decoded at that size
        reduction = max(1, round(reduction * picture.width / size[0]))
        turned = ImageOps.exif_transpose(picture) if upright else picture
        pixels = grey(turned)
    if (turned.width > turned.height) != (picture.width > picture.height):
        size = size[::-1]
    return np.asarray(Image.fromarray(pixels).reduce(reduction)), size


def picture_bytes(value: object) -> bytes:
    """Return the bytes of an encoded picture, decoded if they are base64: a text, or (from MLflow) its ASCII bytes.

    Raise InputError for any other value.
    """
    if not isinstance(value, bytes | bytearray | str):
        raise InputError(f"a picture is bytes, in JSON as base64; got {type(value).__name__}")
    if value and value.isascii():  # no picture format is ASCII
        try:
            return base64.b64decode("".join(value.split()) if isinstance(value, str) else value, validate=True)
        except binascii.Error:
            pass
    if isinstance(value, str):
        raise InputError("the text is not base64")
    return bytes(value)


def grey(picture: Image.Image) -> np.ndarray:
    """Convert a picture of any mode to uint8 (H, W); where ink and paper differ only in hue, by their hue."""
    if picture.mode.startswith("I") or picture.mode == "F":  # 16 or 32 bits a pixel, of which scanners fill fewer
        deep = np.array(picture, dtype=np.float32)  # changed in place: a page of 40 million pixels is large
        np.nan_to_num(deep, copy=False, posinf=0, neginf=0)
        depths = DEPTHS if picture.mode == "F" else DEPTHS[1:]
        full = next((depth for depth in depths if deep.max(initial=0) <= depth), DEPTHS[-1])
        np.clip(deep, 0, full, out=deep)
        return np.rint(np.multiply(deep, 255 / full, out=deep), out=deep).astype(np.uint8)
    if picture.has_transparency_data:
        picture = picture.convert("RGBA")
        opaque = picture.getchannel("A")
        picture = Image.alpha_composite(Image.new("RGBA", picture.size, "white"), picture).convert("RGB")
        if (
            np.ptp(np.asarray(picture.convert("L"))) < MIN_CONTRAST <= np.ptp(np.asarray(opaque))
        ):  # white ink, by itself
            return np.asarray(ImageOps.invert(opaque))
    if picture.mode in ("1", "L", "LA"):
        return np.asarray(picture.convert("L"))
    weights = _hue_weights(picture.convert("RGB")) if picture.mode != "LAB" else None
    return np.asarray(picture.convert("RGB").convert("L", weights) if weights else picture.convert("L"))


def _hue_weights(picture: Image.Image) -> tuple[float, float, float, float] | None:
    """Return the grey of most contrast as weights of red, green, blue and 1; None if luminance has enough of it.

    It is the first principal component of the colours, scaled to 0 to 255 with the paper (most of a picture) light.
    """
    colours = np.asarray(picture).reshape(-1, 3)
    colours = colours[:: max(1, len(colours) // COLOURS)].astype(np.float64)  # (n, 3)
    luminance = (0.299, 0.587, 0.114)  # ITU-R BT.601, as Pillow
    _, axes = np.linalg.eigh(np.cov(colours, rowvar=False))
    axis = axes[:, -1] / abs(axes[:, -1]).sum()

    def contrast(weights: ArrayLike) -> float:
        low, paper, high = np.percentile(colours @ np.asarray(weights), (0.5, 50, 99.5))
        return max(high - paper, paper - low)

    if contrast(axis) < max(MIN_CONTRAST, MIN_HUE_GAIN * contrast(luminance)):
        return None
    low, paper, high = np.percentile(colours @ axis, (0, 50, 100))
    if high - paper > paper - low:
        axis, low = -axis, -high
    return (*axis.tolist(), -low)


def _read_region(region: Region) -> np.ndarray:
    """Cut a region out of its page, turned so that its line runs to the right.

    Returns uint8 (H, W), outside of the outline the median grey of the inside.

    The outline may have been drawn on the picture as it is, or upright by its EXIF tag: the size in its XML tells
    which. Raise InputError if that has the aspect of neither, or if the region is not on the page.
    """
    page, size = _cached_page_image(region.page, upright=True)
    if region.size and _distortion(size, region.size) > MAX_DISTORTION:
        page, unturned = _cached_page_image(region.page, upright=False)
        if _distortion(unturned, region.size) > MAX_DISTORTION:
            sizes = " x ".join(map(str, size)), " x ".join(f"{side:g}" for side in region.size)
            raise InputError(
                f"{printable_path(region.page)}: upright by its EXIF tag it has {sizes[0]} px, its XML says {sizes[1]}"
            )
        size = unturned
    shape = page.shape[::-1]  # (width, height)
    outline = np.array(region.outline) * np.divide(shape, region.size or size)  # (points, 2), px
    start, stop = np.floor(outline.min(axis=0)).astype(int), np.ceil(outline.max(axis=0)).astype(int) + 1
    (left, top), (right, bottom) = start.clip(0), np.minimum(stop, shape)
    if max(right - left, 0) * max(bottom - top, 0) < MIN_SEEN * np.prod(stop - start, dtype=float):
        box = f"x {start[0]} to {stop[0] - 1}, y {start[1]} to {stop[1] - 1}"
        raise InputError(
            f"{printable_path(region.page)}: an outline from {box} is not on the page of {shape[0]} x {shape[1]} px"
        )
    mask = Image.new("1", (int(right - left), int(bottom - top)))
    ImageDraw.Draw(mask).polygon((outline - (left, top)).ravel().tolist(), fill=1)
    inside, cut = np.asarray(mask), page[top:bottom, left:right]
    paper = np.uint8(np.median(cut[inside]))  # most of what is inside
    cut = np.where(inside, cut, paper)
    if not region.angle:
        return cut
    return np.asarray(
        Image.fromarray(cut).rotate(region.angle, Image.Resampling.BICUBIC, expand=True, fillcolor=int(paper))
    )


def _distortion(size: tuple[float, float], expected: tuple[float, float]) -> float:
    """Return how far apart the aspects of two sizes (width, height) are, as a logarithm."""
    return abs(math.log(size[0] / size[1]) - math.log(expected[0] / expected[1]))


@functools.lru_cache(maxsize=2)  # upright, and as it is
def _cached_page_image(path: str, upright: bool) -> tuple[np.ndarray, tuple[int, int]]:
    """Read a page; the last one is kept, since lines come page by page."""
    return read_page_image(path, upright)
