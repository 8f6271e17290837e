"""A picture file, its bytes, or a region of a page -> grey pixels.

Training and serving read pictures by these same functions, so they cannot drift apart.
"""

import base64
import binascii
import functools
import io
import os
from pathlib import Path
from typing import NamedTuple

import numpy as np
from PIL import Image, ImageDraw, ImageOps, UnidentifiedImageError

from project.errors import InputError

FORMATS = ("PNG", "JPEG", "TIFF", "WEBP", "JPEG2000", "BMP", "GIF", "PPM")  # Pillow reads EPS by running gs
MAX_PIXELS = 40_000_000  # a 600 dpi page; more is refused before it is decoded
DEPTHS = (1, 255, 1023, 4095, 16383, 65535)  # what white may be: of floats, of 8, 10, 12, 14 and 16 bits
MAX_DISTORTION = 0.1  # of the logarithm of a page's aspect, upright, from that of the page in its XML
MIN_SEEN = 0.9  # share of a region's box that must lie on its page
MIN_CONTRAST = 24  # grey levels between paper and ink; below it the picture is taken to be empty paper


class Region(NamedTuple):
    """A line on the picture of a page."""

    page: str  # the picture's path
    outline: tuple[tuple[float, float], ...]  # a polygon of (x, y)
    size: tuple[float, float] | None = None  # width and height of the page in the outline's units; None: px


def read_image(source: bytes | str | Path | Region | ValueError) -> np.ndarray:
    """Decode a picture file (PNG, JPEG, TIFF, WebP, ...; its path or its bytes), or a region of one, to grey.

    Returns uint8 (H, W), 0 black to 255 white. Upright by its EXIF tag; what is transparent becomes white.
    Raise InputError that names what is wrong: no such file, not a picture, cut short, too many pixels; or `source`
    itself, where a data set already knows why there is no picture.
    """
    if isinstance(source, ValueError):
        raise InputError(str(source)) from None
    if isinstance(source, Region):
        return _read_region(source)
    name = "the picture" if isinstance(source, bytes) else printable_path(Path(source).resolve())
    try:
        with Image.open(io.BytesIO(source) if isinstance(source, bytes) else source, formats=FORMATS) as picture:
            if (pixels := picture.width * picture.height) <= MAX_PIXELS:
                return _grey(ImageOps.exif_transpose(picture))
    except FileNotFoundError:
        raise InputError(f"{name}: no such file") from None
    except Image.DecompressionBombError:
        raise InputError(f"{name}: too many pixels; at most {MAX_PIXELS} are read") from None
    except UnidentifiedImageError:
        raise InputError(f"{name}: not a picture that can be read (PNG, JPEG, TIFF, WebP are)") from None
    except Exception as error:  # Pillow's decoders raise whatever broken bytes lead them to
        raise InputError(f"{name}: cannot be read as a picture: {error}") from None
    raise InputError(f"{name}: {pixels} pixels; at most {MAX_PIXELS} are read")


def printable_path(path: str | Path) -> str:
    """Return a path as text that can be printed or written to a table; a file name need not be UTF-8."""
    return os.fsencode(path).decode("utf-8", "replace")


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


def _grey(picture: Image.Image) -> np.ndarray:
    """Convert a decoded picture of any mode to uint8 (H, W)."""
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
        picture = Image.alpha_composite(Image.new("RGBA", picture.size, "white"), picture).convert("L")
        if np.ptp(np.asarray(picture)) < MIN_CONTRAST <= np.ptp(np.asarray(opaque)):  # white ink, by itself
            picture = ImageOps.invert(opaque)
    return np.asarray(picture.convert("L"))


def _read_region(region: Region) -> np.ndarray:
    """Cut a region out of its page: uint8 (H, W), outside of the outline the median grey of the inside.

    Raise InputError if the region is not on the page, or if the page's aspect is not the one in the XML (the picture is
    turned by its EXIF tag, or cut).
    """
    page = _read_page(region.page)
    shape = page.shape[::-1]  # (width, height)
    if region.size and abs(np.log(np.divide(*shape) / np.divide(*region.size))) > MAX_DISTORTION:
        sizes = " x ".join(map(str, shape)), " x ".join(f"{side:g}" for side in region.size)
        raise InputError(
            f"{printable_path(region.page)}: upright by its EXIF tag it has {sizes[0]} px, its XML says {sizes[1]}"
        )
    outline = np.array(region.outline) * np.divide(shape, region.size or shape)  # (points, 2), px
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
    return np.where(inside, cut, np.uint8(np.median(cut[inside])))  # most of what is inside is paper


@functools.lru_cache(maxsize=1)
def _read_page(path: str) -> np.ndarray:
    """Read a page; the last one is kept, since lines come page by page."""
    return read_image(path)
