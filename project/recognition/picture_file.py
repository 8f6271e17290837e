"""Files and bytes of pictures -> opened pictures: formats, the pages of a file, limits of size.

Nothing is decoded before its size is known to be within the limit.
"""

import io
import math
import os
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from PIL import Image, UnidentifiedImageError
from PIL.TiffImagePlugin import TiffImageFile

from project.errors import InputError

if TYPE_CHECKING:
    from pypdfium2 import PdfDocument

FORMATS: tuple[str, ...] = (
    "PNG",
    "JPEG",
    "TIFF",
    "WEBP",
    "AVIF",
    "JPEG2000",
    "BMP",
    "GIF",
    "PPM",
)  # Pillow reads EPS by running gs
MULTI_PAGE = ("PNG", "TIFF", "WEBP", "AVIF", "GIF")  # other formats hold previews beside their one picture
HEIF_BRANDS = (b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"mif1", b"msf1")  # ISO/IEC 23008-12
PDF = b"%PDF"
PDF_DPI = 300  # to which a page is rendered
MAX_PIXELS = 40_000_000  # of a line's picture, and of all pictures of a request: a 600 dpi page
MAX_PAGE_PIXELS = 120_000_000  # of a page; 50 million are usual in the scans of libraries
NEW_SUBFILE_TYPE, REDUCED_COPY = 254, 1  # a tag of TIFF, and its bit of thumbnails

File = bytes | str | Path


class PageOf(NamedTuple):
    """One page of a file that holds several: of a multi-page TIFF, an animated picture, a PDF."""

    file: bytes | str
    number: int  # from 1


def suffixes() -> set[str]:
    """Return the suffixes of the pictures that can be read, in lower case and with their dot; PDF is read as well."""
    registered = {suffix for suffix, name in Image.registered_extensions().items() if name in (*FORMATS, "MPO")}
    return registered | {".heic", ".heif", ".hif"}


def pages_of(file: File) -> list[File | PageOf]:
    """Return what `read_image` takes for each page of a file: the file itself if it has one page, else a `PageOf` each.

    A file that cannot be opened counts as one page: reading it says why. Thumbnails in a TIFF are no pages.
    """
    try:
        with _errors_in_words(file, MAX_PAGE_PIXELS):
            numbers = _page_numbers(file)
    except InputError:
        return [file]
    return [file] if len(numbers) == 1 else [PageOf(_plain(file), number) for number in numbers]


def count_pixels(file: File) -> int:
    """Return the number of pixels by the file's header; 0 if it cannot be opened, and so will not be decoded."""
    try:
        with _errors_in_words(file, MAX_PAGE_PIXELS), _open(file, 1, MAX_PIXELS) as picture:
            return picture.width * picture.height
    except TooManyPixelsError:
        return MAX_PAGE_PIXELS + 1
    except InputError:
        return 0


def is_picture(file: File) -> bool:
    """Return whether a file can be opened as a picture or a PDF, whatever its name."""
    return count_pixels(file) > 0


@contextmanager
def open_picture(source: File | PageOf, max_pixels: int) -> Iterator[Image.Image]:
    """Open a picture at its page, not yet decoded; a page of a PDF is rendered, to at most `max_pixels`.

    Raise InputError that names what is wrong: no such file, not a picture, cut short (also when it is decoded within
    the context), more than `max_pixels`, or several pages where none is named.
    """
    file, number = source if isinstance(source, PageOf) else (source, 0)
    with _errors_in_words(file, max_pixels):
        if not number:
            numbers = _page_numbers(file)
            if len(numbers) > 1:
                raise InputError(f"{_name(file)}: it has {len(numbers)} pages, each of which is a picture")
            number = numbers[0]
        with _open(file, number, max_pixels) as picture:
            if (pixels := picture.width * picture.height) > max_pixels:
                raise TooManyPixelsError(f"{_name(file)}: {pixels} pixels; at most {max_pixels} are read")
            yield picture


class TooManyPixelsError(InputError):
    """Say how many pixels a picture has, and how many are read."""


def printable_path(path: str | Path) -> str:
    """Return a path as text that can be printed or written to a table; a file name need not be UTF-8."""
    return os.fsencode(path).decode("utf-8", "replace")


def _open(file: File, number: int, max_pixels: int) -> Image.Image:
    """Open a file at a page, counted from 1."""
    if _head(file).startswith(PDF):
        return _render(file, number, max_pixels)
    picture = _open_with_pillow(file)
    if picture.format in MULTI_PAGE:
        picture.seek(number - 1)
    return picture


def _open_with_pillow(file: File) -> Image.Image:
    head, formats = _head(file), FORMATS
    if head[4:8] == b"ftyp" and head[8:12] in HEIF_BRANDS:
        from pillow_heif import register_heif_opener  # a library of 20 MB that few pictures need

        register_heif_opener()
        formats = ("HEIF",)
    return Image.open(io.BytesIO(file) if isinstance(file, bytes) else file, formats=formats)


def _render(file: File, number: int, max_pixels: int) -> Image.Image:
    """Render a page of a PDF, at `PDF_DPI` or as large as `max_pixels` allows."""
    with _open_pdf(file) as document:
        page = document[number - 1]
        width, height = page.get_size()  # points, of which an inch has 72
        area, edges = width * height, width + height
        # a rendered page has up to (scale * width + 1) * (scale * height + 1) pixels
        largest = (math.sqrt(edges**2 + 4 * area * (max_pixels - 1)) - edges) / (2 * area)
        return page.render(scale=min(PDF_DPI / 72, largest)).to_pil()


def _open_pdf(file: File) -> "PdfDocument":
    from pypdfium2 import PdfDocument, PdfiumError  # a library of 8 MB that few pictures need

    try:
        return PdfDocument(file)
    except PdfiumError as error:
        raise UnidentifiedImageError(str(error)) from error


def _page_numbers(file: File) -> list[int]:
    """Return the numbers, from 1, of the pages of a file."""
    if _head(file).startswith(PDF):
        with _open_pdf(file) as document:
            return list(range(1, len(document) + 1))
    with _open_with_pillow(file) as picture:
        count = getattr(picture, "n_frames", 1) if picture.format in MULTI_PAGE else 1
        numbers = list(range(1, count + 1))
        if isinstance(picture, TiffImageFile) and count > 1:
            numbers = [number for number in numbers if not _is_reduced_copy(picture, number)]
        return numbers or [1]


def _is_reduced_copy(picture: TiffImageFile, number: int) -> bool:
    picture.seek(number - 1)
    return bool(picture.tag_v2.get(NEW_SUBFILE_TYPE, 0) & REDUCED_COPY)


def _head(file: File) -> bytes:
    """Return the first bytes, by which formats are told apart."""
    if isinstance(file, bytes):
        return file[:12]
    with Path(file).open("rb") as opened:
        return opened.read(12)


def _plain(file: File) -> bytes | str:
    return file if isinstance(file, bytes) else str(file)


def _name(file: File) -> str:
    return "the picture" if isinstance(file, bytes) else printable_path(Path(file).resolve())


@contextmanager
def _errors_in_words(file: File, max_pixels: int) -> Iterator[None]:
    """Raise whatever goes wrong with a file as InputError."""
    try:
        with warnings.catch_warnings(action="ignore", category=Image.DecompressionBombWarning):
            yield
    except InputError:
        raise
    except FileNotFoundError:
        raise InputError(f"{_name(file)}: no such file") from None
    except Image.DecompressionBombError:
        raise TooManyPixelsError(f"{_name(file)}: too many pixels; at most {max_pixels} are read") from None
    except UnidentifiedImageError:
        readable = "PNG, JPEG, TIFF, WebP, AVIF, HEIC and PDF are"
        raise InputError(f"{_name(file)}: not a picture that can be read ({readable})") from None
    except Exception as error:  # the decoders raise whatever broken bytes lead them to
        raise InputError(f"{_name(file)}: cannot be read as a picture: {error}") from None
