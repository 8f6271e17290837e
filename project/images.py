"""Any picture of a line -> the line image that the network reads; a padded batch of them.

Training and serving go through these same functions, so they cannot drift apart.
"""

import base64
import binascii
import functools
import io
import os
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple

import numpy as np
from PIL import Image, ImageDraw, ImageOps, UnidentifiedImageError

FRAME_WIDTH = 4  # px of line image to one frame of log-probs: the network's stride along the line
MIN_SIDE = 8  # px: less than this is not a line of handwriting
FORMATS = ("PNG", "JPEG", "TIFF", "WEBP", "JPEG2000", "BMP", "GIF", "PPM")  # Pillow reads EPS by running gs
MAX_PIXELS = 40_000_000  # a 600 dpi page; more is refused before it is decoded
MAX_ASPECT = 200  # width / height of the line image: the longest line that a sheet of paper can hold, with room
DEPTHS = (1, 255, 1023, 4095, 16383, 65535)  # what white may be: of floats, of 8, 10, 12, 14 and 16 bits
# px, an eighth of an octave apart: torch prepares and keeps its kernels anew for each shape of a batch
PADDED_WIDTHS = np.unique(8 * np.round(4 * 2 ** (np.arange(96) / 8))).astype(int)
DARK = 96  # of 255: ink that counts where the line is measured
REACH = 4  # what is shown above and below the middle of the writing, in mean distances of the ink from it
MAX_DISTORTION = 0.1  # of the logarithm of a page's aspect, upright, from that of the page in its XML
MIN_SEEN = 0.9  # share of a region's box that must lie on its page
LEAST_INK, LEAST_INK_CONTRAST = 32, 72  # so many pixels, so much darker than the paper, are no specks and no grain
MIN_CONTRAST = 24  # grey levels between paper and ink; below it the picture is taken to be empty paper


class Region(NamedTuple):
    """A line on the picture of a page: its outline, (x, y) in a page of `size` (width, height); px where it is None."""

    page: str
    outline: tuple[tuple[float, float], ...]
    size: tuple[float, float] | None = None


def read_picture(source: bytes | str | Path | Region | ValueError) -> np.ndarray:
    """Decode a picture file (PNG, JPEG, TIFF, WebP, ...; its path or its bytes), or a region of one, to grey.

    Returns uint8 (H, W), 0 black to 255 white. Upright by its EXIF tag; what is transparent becomes white.
    ValueError names what is wrong: no such file, not a picture, cut short, too many pixels; or is `source` itself,
    where a data set knows already why there is no picture.
    """
    if isinstance(source, ValueError):
        raise source
    if isinstance(source, Region):
        return _read_region(source)
    name = "the picture" if isinstance(source, bytes) else told(Path(source).resolve())
    try:
        with Image.open(io.BytesIO(source) if isinstance(source, bytes) else source, formats=FORMATS) as picture:
            if (pixels := picture.width * picture.height) <= MAX_PIXELS:
                return _grey(ImageOps.exif_transpose(picture))
    except FileNotFoundError:
        raise ValueError(f"{name}: no such file") from None
    except Image.DecompressionBombError:
        raise ValueError(f"{name}: too many pixels; at most {MAX_PIXELS} are read") from None
    except UnidentifiedImageError:
        raise ValueError(f"{name}: not a picture that can be read (PNG, JPEG, TIFF, WebP are)") from None
    except Exception as error:  # Pillow's decoders raise whatever broken bytes lead them to
        raise ValueError(f"{name}: cannot be read as a picture: {error}") from None
    raise ValueError(f"{name}: {pixels} pixels; at most {MAX_PIXELS} are read")


def told(path: str | Path) -> str:
    """A path as it can be printed, or written to a table: a name need not be UTF-8."""
    return os.fsencode(path).decode("utf-8", "replace")


def picture_bytes(value: object) -> bytes:
    """An encoded picture as it is, or decoded where it is base64: a text, or (what MLflow makes of it) its ASCII.

    ValueError says what it is instead.
    """
    if not isinstance(value, bytes | bytearray | str):
        raise ValueError(f"a picture is bytes, in JSON as base64; got {type(value).__name__}")
    if value and value.isascii():  # a picture's head holds bytes that base64 does not have
        try:
            return base64.b64decode("".join(value.split()) if isinstance(value, str) else value, validate=True)
        except binascii.Error:
            pass
    if isinstance(value, str):
        raise ValueError("the text is not base64")
    return bytes(value)


def _grey(picture: Image.Image) -> np.ndarray:
    """uint8 (H, W) of a decoded picture of any mode."""
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
        if np.ptp(picture) < MIN_CONTRAST <= np.ptp(opaque):  # white ink, by itself
            picture = ImageOps.invert(opaque)
    return np.asarray(picture.convert("L"))


def _read_region(region: Region) -> np.ndarray:
    """What is inside the outline, on paper of one grey: uint8 (H, W). ValueError if it is not on the page, or that is
    not the one that the outline was drawn on, but turned by its EXIF tag, or cut.
    """
    page = _read_page(region.page)
    shape = page.shape[::-1]  # (width, height)
    if region.size and abs(np.log(np.divide(*shape) / np.divide(*region.size))) > MAX_DISTORTION:
        sizes = " x ".join(map(str, shape)), " x ".join(f"{side:g}" for side in region.size)
        raise ValueError(f"{told(region.page)}: upright by its EXIF tag it has {sizes[0]} px, its XML says {sizes[1]}")
    outline = np.array(region.outline) * np.divide(shape, region.size or shape)  # (points, 2), px
    start, stop = np.floor(outline.min(axis=0)).astype(int), np.ceil(outline.max(axis=0)).astype(int) + 1
    (left, top), (right, bottom) = start.clip(0), np.minimum(stop, shape)
    if max(right - left, 0) * max(bottom - top, 0) < MIN_SEEN * np.prod(stop - start, dtype=float):
        box = f"x {start[0]} to {stop[0] - 1}, y {start[1]} to {stop[1] - 1}"
        raise ValueError(f"{told(region.page)}: an outline from {box} is not on the page of {shape[0]} x {shape[1]} px")
    mask = Image.new("1", (int(right - left), int(bottom - top)))
    ImageDraw.Draw(mask).polygon((outline - (left, top)).ravel().tolist(), fill=1)
    inside, cut = np.asarray(mask), page[top:bottom, left:right]
    return np.where(inside, cut, np.uint8(np.median(cut[inside])))  # most of what is inside is paper


@functools.lru_cache(maxsize=1)
def _read_page(path: str) -> np.ndarray:
    """Lines come page by page: a page is decoded once, not once for each of its lines."""
    return read_picture(path)


class Place(NamedTuple):
    """Where a line image lies in its picture: column x of the one is column `left + scale * x` of the other."""

    left: float
    scale: float


def line_image(pixels: np.ndarray, height: int) -> np.ndarray:
    """`placed_line_image` without the place."""
    return placed_line_image(pixels, height)[0]


def placed_line_image(pixels: np.ndarray, height: int) -> tuple[np.ndarray, Place]:
    """The picture of one line as the network reads it, and where that lies in the picture.

    pixels: uint8 (H, W), 0 black to 255 white, H and W at least `MIN_SIDE`; light ink on a dark ground is
    turned over. The line image is uint8 (1, height, W'), 0 paper to 255 ink: cut to the ink, the middle of the
    writing straightened, scaled by how far the ink spreads about that middle, aspect kept. So one tall letter,
    a speck or a climbing line does not make the writing small (Breuel et al. 2013, "High-performance OCR for
    printed English and Fraktur using LSTM networks", section III, does so too).
    ValueError names a size that cannot be a line.
    """
    if pixels.ndim != 2 or min(pixels.shape) < MIN_SIDE:
        raise ValueError(f"a line picture is (H, W), both at least {MIN_SIDE} px; got shape {pixels.shape}")
    ink = ink_map(pixels)
    top, bottom, left, right = ink_box(ink)
    ink = ink[top:bottom, left:right]
    if (shrink := len(ink) // (3 * height)) > 1:
        ink = np.asarray(Image.fromarray(ink).reduce(shrink))
    middle, spread = middle_line(ink)
    shown = round(2 * max(REACH * spread, MIN_SIDE / 2))  # px of the picture to the height of the line image
    width = max(MIN_SIDE, round(ink.shape[1] * height / shown))
    if width > MAX_ASPECT * height:
        raise ValueError(
            f"a line of {right - left} x {bottom - top} px, most of its ink within {shown * max(shrink, 1)} rows, is "
            f"{width / height:.0f} times as wide as high; at most {MAX_ASPECT} is read"
        )
    scaled = Image.fromarray(straighten(ink, middle, shown)).resize((width, height), Image.Resampling.BILINEAR)
    return np.asarray(scaled)[None], Place(left, (right - left) / width)  # (1, height, W')


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


def middle_line(ink: np.ndarray) -> tuple[np.ndarray, float]:
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
        return np.full(width, height / 2), height / (2 * REACH)

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


def straighten(ink: np.ndarray, middle: np.ndarray, height: int) -> np.ndarray:
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


def width_batches(
    widths: Sequence[float], batch_width: int, rng: np.random.Generator | None = None
) -> list[np.ndarray]:
    """Cut lines, narrow ones first, into batches whose padded width (N x Wmax) is at most `batch_width` px.

    Returns the indices of each batch. With `rng`, lines of one padded width are in an order by chance, so that they
    meet other lines in each epoch. A line wider than `batch_width` is a batch of its own.
    """
    widths = padded_width(np.asarray(widths))
    ties = np.arange(len(widths)) if rng is None else rng.permutation(len(widths))
    cut: list[list[int]] = []
    widest = 0
    for index in np.lexsort((ties, widths)):
        widest = max(widest, widths[index])
        if not cut or widest * (len(cut[-1]) + 1) > batch_width:
            cut.append([])
            widest = widths[index]
        cut[-1].append(index)
    return [np.array(batch) for batch in cut]


def padded_width(width):
    """The width (px, a number or an array of them) to which a line of `width` px is padded in a batch of its own."""
    return PADDED_WIDTHS[np.searchsorted(PADDED_WIDTHS, width)]


def batch(line_images: Sequence[np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    """Pad line images, each uint8 (1, H, W), with paper at the right to one width.

    Returns float32 (N, 1, H, Wmax), paper 0 to ink 1, and the true widths int64 (N,).
    """
    widths = np.array([image.shape[2] for image in line_images])
    padded = np.zeros((len(line_images), 1, line_images[0].shape[1], padded_width(widths.max())), dtype=np.float32)
    for row, image in zip(padded, line_images, strict=True):
        row[:, :, : image.shape[2]] = image
    return padded / 255, widths
