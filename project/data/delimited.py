"""CSV and TSV as people save them -> cells: encodings, separators, and quotation marks that are texts.

CSV is RFC 4180. The spreadsheets of half of Europe write semicolons, Excel's "Unicode text" is UTF-16, and older ones
write Windows-1252. What is not plainly one of these is refused.
"""

import codecs
import csv
import io
import itertools
import logging
import re
from collections import deque
from collections.abc import Callable, Iterator
from pathlib import PurePosixPath
from typing import BinaryIO, NamedTuple

from project.errors import InputError
from project.recognition.picture_file import suffixes

BOMS = {codecs.BOM_UTF8: "utf-8-sig", codecs.BOM_UTF16_LE: "utf-16", codecs.BOM_UTF16_BE: "utf-16"}
BLOCK = 1 << 20  # bytes that are looked at together
SEPARATORS = (",", ";", "\t")
PICTURES = suffixes()
LINES_OF_CELL = 50  # a cell with more line breaks is a quotation mark that is not closed
# What Windows-1252 makes of the accents of Macintosh and DOS: after a small letter, none of these is written
WRONG_CODE_PAGE = re.compile("[a-z][\u017d\u0160\u0152\u0178\u201a\u201e\u0192\u2020\u2021\u02c6\u2030\u2039\u2022]")

log = logging.getLogger(__name__)


class Layout(NamedTuple):
    """How the cells of a table are told apart."""

    separator: str
    is_quoted: bool  # quotation marks enclose cells
    columns: int
    image: int  # the column of pictures


class Record(NamedTuple):
    """The cells of a row, and how many lines they are written on."""

    cells: list[str]
    lines: int
    has_stray_quotes: bool = False  # quotation marks that enclose no cell


def read_records(file: BinaryIO, suffix: str, name: str) -> Iterator[list[str]]:
    """Yield the header of a CSV or TSV table, and then its rows, each with as many cells as the header.

    file: must be seekable. Empty lines are passed over; cells that are missing at the end of a row are "". In TSV a
    quotation mark is a character like others; in CSV one that is not closed is, where the row then has the right
    number of cells. Raise InputError that names the row (counted from 1, without the header) or the encoding.
    """
    encoding = encoding_of(file, name)
    file.seek(0)
    text = io.TextIOWrapper(file, encoding)
    lines = (line.rstrip("\n") for line in text if line.strip("\n"))
    header = next(lines, None)
    if header is None:
        raise InputError("it is empty")
    if header.lower().startswith("sep=") and len(header) == 5:  # as Excel has it
        separator, header = header[4], next(lines, "")
    elif suffix == ".tsv":
        separator = "\t"
    else:
        separator = max(SEPARATORS, key=lambda one: ("image" in header_names(header, one), header.count(one)))
    names = header_names(header, separator)
    yield names
    image = names.index("image") if "image" in names else 0
    yield from _rows(lines, Layout(separator, suffix != ".tsv", len(names), image), name)
    text.detach()  # the file is the caller's


def encoding_of(file: BinaryIO, name: str) -> str:
    """Return the encoding of a file: by its byte order mark, UTF-8 if it is that, else UTF-16 or Windows-1252.

    Raise InputError if it is none of them.
    """
    file.seek(0)
    head = file.read(BLOCK)
    for bom, encoding in BOMS.items():
        if head.startswith(bom):
            return encoding
    for encoding, high_bytes in (("utf-16-le", head[1::2]), ("utf-16-be", head[::2])):
        if high_bytes.count(0) > len(high_bytes) / 3:  # every second byte of Latin letters is 0
            return encoding
    if _is_encoded(file, "utf-8"):
        return "utf-8"
    if _is_encoded(file, "cp1252", lambda text: not WRONG_CODE_PAGE.search(text)):
        log.warning("%s: not UTF-8; read as Windows-1252", name)
        return "cp1252"
    raise InputError("it is neither UTF-8 nor plainly Windows-1252; save it as CSV UTF-8")


def _is_encoded(file: BinaryIO, encoding: str, is_plain: Callable[[str], bool] = lambda text: True) -> bool:
    decoder = codecs.getincrementaldecoder(encoding)()
    file.seek(0)
    try:
        while block := file.read(BLOCK):
            text = decoder.decode(block)
            if not is_plain(text):
                return False
        decoder.decode(b"", final=True)
    except UnicodeDecodeError:
        return False
    return True


def header_names(header: str, separator: str) -> list[str]:
    """Return the names of the columns."""
    return [name.strip() for name in next(csv.reader([header], delimiter=separator))]


def _rows(lines: Iterator[str], layout: Layout, name: str) -> Iterator[list[str]]:
    ahead: deque[str] = deque()  # lines that are not in a row yet
    stray = 0
    for number in itertools.count(1):
        if not ahead:
            ahead.extend(itertools.islice(lines, 1))
        if not ahead:
            break
        record = _next_record(ahead, lines, layout)
        if not record or len(record.cells) > layout.columns:
            found = f"{len(record.cells)} cells" if record else "a quotation mark that is not closed"
            raise InputError(
                f"row {number} has {found}, its header {layout.columns} cells: {ahead[0][:80]!r}; a text with a "
                f'"{layout.separator}" or a quotation mark in it needs quotes around it, and "" for each mark inside'
            )
        for _ in range(record.lines):
            ahead.popleft()
        stray += record.has_stray_quotes
        yield record.cells + [""] * (layout.columns - len(record.cells))
    if stray:
        log.warning("%s: quotation marks that enclose no cell are read as text, in %d rows", name, stray)


def _next_record(ahead: deque[str], lines: Iterator[str], layout: Layout) -> Record | None:
    """Return the next row, of one line or more; None if its quotation marks make no sense."""
    line = ahead[0]
    if not layout.is_quoted:
        return Record(line.split(layout.separator), 1)
    if (cells := parse(line, layout.separator)) is not None:
        return Record(cells, 1)
    # The mark opens a cell that goes on over lines, unless there are rows among them
    ahead.extend(itertools.islice(lines, max(0, LINES_OF_CELL - len(ahead))))
    for count in range(2, len(ahead) + 1):
        if _is_row(ahead[count - 1], layout):
            break
        cells = parse("\n".join(itertools.islice(ahead, count)), layout.separator)
        if cells is not None and len(cells) <= layout.columns:
            return Record(cells, count)
    # The mark is text
    if line.startswith('"') and line.endswith('"'):  # every cell is quoted, and there are marks inside
        cells = line[1:-1].split(f'"{layout.separator}"')
        if len(cells) == layout.columns:
            return Record([cell.replace('""', '"') for cell in cells], 1, True)
    cells = line.split(layout.separator)
    return Record(cells, 1, True) if len(cells) == layout.columns else None


def parse(text: str, separator: str) -> list[str] | None:
    """Return the cells of one record by RFC 4180; None if a quotation mark is not closed, or text follows one."""
    try:
        records = list(csv.reader([f"{line}\n" for line in text.split("\n")], delimiter=separator, strict=True))
    except csv.Error:
        return None
    return records[0] if len(records) == 1 else None


def _is_row(line: str, layout: Layout) -> bool:
    """Return whether a line is a row by itself: the right number of cells, and a picture among them."""
    cells = parse(line, layout.separator) or line.split(layout.separator)
    if len(cells) != layout.columns:
        return False
    image = cells[layout.image].strip('"')
    return "://" in image or PurePosixPath(image).suffix.lower() in PICTURES
