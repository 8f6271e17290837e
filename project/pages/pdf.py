"""A page -> a PDF that shows its picture, with its text, unseen, where it is written: to be searched and copied.

The words are set in the text mode that draws nothing (ISO 32000, section 9.3.6), each stretched to its width.
"""

import importlib.util
import io
import math
from pathlib import Path

from fpdf import FPDF
from fpdf.enums import TextMode
from PIL import Image, ImageOps

from project.pages.page import Line, Page, Word
from project.recognition.picture_file import MAX_PAGE_PIXELS, File, PageOf, open_picture

DPI = 200  # where the picture does not say how large its px are
MIN_DPI, MAX_DPI = 50, 2400  # what a picture says beyond them is not true
QUALITY = 85  # of the JPEG
FONT = "mpl-data/fonts/ttf/DejaVuSans.ttf"  # in the package `matplotlib`; it has most letters of Europe
INCH = 72  # points


def searchable_pdf(picture: File | PageOf, page: Page) -> bytes:
    """Return a PDF of one page. picture: that on which `page` was read."""
    with open_picture(picture, MAX_PAGE_PIXELS) as opened:
        dpi = opened.info.get("dpi", (DPI, DPI))[0]
        shown = io.BytesIO()
        upright = ImageOps.exif_transpose(opened)
        (upright if upright.mode in ("L", "RGB") else upright.convert("RGB")).save(shown, "JPEG", quality=QUALITY)
    point = INCH / (dpi if MIN_DPI <= dpi <= MAX_DPI else DPI)  # of a px
    width, height = (side * point for side in page.size)
    pdf = FPDF(unit="pt", format=(width, height))
    pdf.set_auto_page_break(False)
    pdf.set_margin(0)
    pdf.add_page()
    pdf.image(Image.open(shown), 0, 0, width, height)
    pdf.add_font("text", fname=_font())
    pdf.text_mode = TextMode.INVISIBLE
    for line in page.lines:
        for word in line.words:
            _set_word(pdf, word, line, point)
    return bytes(pdf.output())


def _set_word(pdf: FPDF, word: Word, line: Line, point: float) -> None:
    """Write a word along its line, over its outline, and after it a space, without which readers of PDF guess."""
    (x0, y0), (x1, y1) = line.baseline[0], line.baseline[-1]
    angle = math.atan2(y1 - y0, x1 - x0)
    along = [x * math.cos(angle) + y * math.sin(angle) for x, y in word.outline]
    across = [y * math.cos(angle) - x * math.sin(angle) for x, y in word.outline]
    start, length = min(along), max(along) - min(along)
    base = y0 * math.cos(angle) - x0 * math.sin(angle)
    left, top = start * math.cos(angle) - base * math.sin(angle), start * math.sin(angle) + base * math.cos(angle)
    pdf.set_font("text", size=max(1.0, (max(across) - min(across)) * point / 1.4))
    pdf.set_stretching(100)
    pdf.set_stretching(max(1.0, 100 * length * point / max(pdf.get_string_width(word.text), 0.1)))
    with pdf.rotation(-math.degrees(angle), left * point, top * point):
        pdf.text(left * point, top * point, word.text + (" " if word is not line.words[-1] else ""))


def _font() -> Path:
    return Path(importlib.util.find_spec("matplotlib").submodule_search_locations[0], FONT)
