"""Any number of pictures -> a table of what is written in them: in parts, in bounded memory, and resumable.

The parts are parquet files in one folder. Each is written whole or not at all, so that a second call finds out from
them what is missing.
"""

import functools
import itertools
from collections.abc import Collection, Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.dataset as ds
import pyarrow.parquet as pq
from pyarrow.csv import CSVWriter
from tqdm import tqdm

from project import atomic
from project.archive.page_files import PageFiles
from project.archive.processes import read_in_order
from project.atomic import NoLockError, check_outside, replaced
from project.data import sources
from project.data.folders import count_pictures
from project.data.rows import Row, batched
from project.data.splits import fingerprint
from project.errors import InputError
from project.pages.line_or_page import decode_picture
from project.pages.page import Page
from project.pages.page_xml import points
from project.pages.reading import read_page
from project.recognition.picture_file import PageOf
from project.recognition.recognizer import CHUNK_LINES, Recognizer
from project.recognition.turns import View, transcribe_views, views

SCHEMA = pa.schema(
    {
        "source": pa.string(),  # where the picture is: its path, "path:page" of a file with several, or "table:row"
        "page": pa.int64(),  # of the file, from 1
        "line": pa.int64(),  # of the page, in reading order from 1; 0 where it has none; missing for a line's picture
        "outline": pa.string(),  # of a page's line, "x,y x,y ...", px of the page's picture
        "text": pa.string(),  # missing where there is an error
        "confidence": pa.float64(),  # 0 to 1; missing where there is an error, or no line
        "model_version": pa.int64(),
        "error": pa.string(),  # why the picture could not be read
        "fingerprint": pa.string(),  # of the picture (see `splits.fingerprint`), by which a replaced one is known
    }
)
ADDED = {"page", "line", "outline", "fingerprint"}  # columns that archives from before November 2026 do not have
SUFFIXES = (".parquet", ".csv")  # of an output that is one table
BOM = b"\xef\xbb\xbf"  # by which spreadsheets know UTF-8
FORMULA = r"^[=+\-@]"  # with which spreadsheets begin a formula
NUMBER = r"^-?\d+([.,]\d+)?$"
NO_FORMULA = "\u200b"  # before it in a CSV: shown as nothing, and removed when our own commands read it
CHUNKS = 4  # for each process at least, where there are so many pictures
PART = 2048  # lines: what a call that is killed has to read again at most


def parts_of(output: str, images: str) -> Path:
    """Return the folder of the parts: `output` itself, or for `lines.csv` the folder `lines.csv.parts` beside it.

    Raise InputError if `output` is neither a folder nor a table, is a table that was not made of such parts, or stands
    among the pictures, where it would be taken for more of them.
    """
    path = Path(output).resolve()
    if path.suffix not in ("", *SUFFIXES):
        raise InputError(f"output: {path} is neither a folder nor one of {', '.join(SUFFIXES)}")
    check_outside(images, "output", path)
    parts = path.with_name(f"{path.name}.parts") if path.suffix else path
    if path.exists() and not parts.exists():
        raise InputError(f"output: {path} is there already, without {parts.name} beside it; it is never overwritten")
    return parts


@contextmanager
def locked(parts: Path) -> Iterator[None]:
    """Make the folder, and keep others from writing parts to it at the same time. Raise InputError if somebody does."""
    parts.mkdir(parents=True, exist_ok=True)
    with ExitStack() as stack:
        try:
            stack.enter_context(atomic.locked(parts / ".lock", timeout=0))
        except NoLockError:
            raise
        except InputError:
            raise InputError(f"output: another process is writing to {parts}") from None
        yield


def table_of(parts: Path) -> ds.Dataset:
    """Return all that has been read so far. Raise InputError if the folder holds other tables."""
    table = ds.dataset(parts, format="parquet", exclude_invalid_files=False)
    names = set(table.schema.names)
    if table.files and not set(SCHEMA.names) - ADDED <= names <= set(SCHEMA.names):
        raise InputError(f"output: {parts} holds tables with the columns {table.schema.names}, not {SCHEMA.names}")
    return table.replace_schema(SCHEMA)


def count(parts: Path, exclude: Collection[str] = ()) -> int:
    """Return how many lines have been read so far; those in the files `exclude` are not counted."""
    return sum(part.count_rows() for part in table_of(parts).get_fragments() if part.path not in exclude)


def keys(texts: Iterable[str]) -> np.ndarray:
    """Return a number of 64 bits for each text (N,)."""
    return pd.util.hash_array(np.array(list(texts), dtype=object), categorize=False)


class Known(NamedTuple):
    """The pictures that have been read: 16 bytes for each is what resuming holds in memory, and 40 at its start."""

    sources: np.ndarray  # keys, in order, and the largest number there is at the end (N + 1,)
    fingerprints: np.ndarray  # keys, in the same order (N + 1,)


def read_known(parts: Path) -> Known:
    """Return the pictures that have been read."""
    sources = [np.array([np.iinfo(np.uint64).max], dtype=np.uint64)]
    fingerprints = [np.zeros(1, dtype=np.uint64)]
    for batch in table_of(parts).to_batches(columns=["source", "fingerprint"]):
        sources.append(keys(batch["source"].to_pylist()))
        fingerprints.append(keys(known or "" for known in batch["fingerprint"].to_pylist()))
    unsorted = np.concatenate(sources)
    order = unsorted.argsort()
    return Known(unsorted[order], np.concatenate(fingerprints)[order])


def drop_failed(parts: Path) -> None:
    """Take the pictures that could not be read out of the parts, for them to be tried again: they may be whole now."""
    drop(parts, ds.field("error").is_valid())


def drop(parts: Path, rows: ds.Expression) -> None:
    """Take rows out of the parts, each of which is replaced whole."""
    for part in table_of(parts).get_fragments():
        if part.count_rows(filter=rows):
            path = Path(part.path)
            path.with_name(f".{path.name}.crc").unlink(missing_ok=True)  # Spark's, of what the part was
            with replaced(path) as beside:
                pq.write_table(part.to_table(SCHEMA, filter=~rows), beside)


def transcribe(
    images: str,
    parts: Path,
    recognizer: Recognizer,
    model_version: int,
    layout: str = "auto",
    page_files: PageFiles | None = None,
    processes: int = 1,
) -> None:
    """Read the pictures that `parts` lacks, or has of another picture under the same name.

    images: see `sources.stream_rows`. layout: one of `line_or_page.LAYOUTS`. processes: of this machine.
    """
    known = read_known(parts)
    total = count_pictures(Path(images)) if sources.is_picture_folder(images) else None
    pictures = tqdm(stream_pictures(images), desc="transcribing", unit=" pictures", total=total, mininterval=1)
    size = chunk_size(total, processes)
    unread = itertools.chain.from_iterable(not_done(rows, known) for rows in batched(pictures, size))
    read_chunk = functools.partial(read, model_version=model_version, layout=layout, page_files=page_files)
    chunks = read_in_order(read_chunk, recognizer, batched(unread, min(size, PART)), processes)
    for number in itertools.count():
        part = parts / f"part-{number:06}.parquet"
        if part.exists():
            continue
        tables: list[pa.Table] = []
        stale: list[str] = []  # sources that have been read, of another picture
        for chunk, table in chunks:
            tables.append(table)
            stale += [picture.row.source for picture in chunk if picture.is_replaced]
            if sum(map(len, tables)) >= PART:
                break
        if not tables:
            return
        if stale:
            drop(parts, ds.field("source").isin(stale))
        with replaced(part) as path:
            pq.write_table(pa.concat_tables(tables), path)


def chunk_size(pictures: int | None, processes: int) -> int:
    """Return how many pictures are read together: of several processes each gets some chunks, also of few pages.

    pictures: how many there are, if that is known.
    """
    if processes == 1:
        return CHUNK_LINES
    if pictures is None:
        return CHUNK_LINES // 4
    return min(CHUNK_LINES, max(1, pictures // (CHUNKS * processes)))


def stream_pictures(images: str) -> Iterator[Row]:
    """Yield the pictures one by one, labelled or not."""
    return sources.stream_rows(images, labelled=False)


class Picture(NamedTuple):
    """A picture that is to be read."""

    row: Row
    fingerprint: str
    is_replaced: bool  # another one of this name has been read


def not_done(rows: list[Row], known: Known) -> list[Picture]:
    """Return the pictures that are not among the known ones, or are others than those were.

    Archives from before November 2026 do not say what their pictures were.
    """
    fingerprints = [fingerprint(row.image) for row in rows]
    own = keys(row.source for row in rows)
    at = np.searchsorted(known.sources, own)
    is_known = known.sources[at] == own
    is_same = np.isin(known.fingerprints[at], keys([""])) | (known.fingerprints[at] == keys(fingerprints))
    pictures = zip(rows, fingerprints, is_known.tolist(), (is_known & is_same).tolist(), strict=True)
    return [Picture(row, digest, is_replaced) for row, digest, is_replaced, is_done in pictures if not is_done]


def read(
    recognizer: Recognizer,
    pictures: Sequence[Picture],
    model_version: int,
    layout: str,
    page_files: PageFiles | None = None,
) -> pa.Table:
    """Read the pictures, and write the files of pages; what cannot be read has an error instead.

    Pages are decoded one by one; of lines only their line images are kept until they are read together.
    """
    lines: list[dict] = []
    pending: list[dict] = []  # rows of the table whose lines are to be read
    lines_to_read: list[list[View]] = []
    for row, digest, _ in pictures:
        known = {"source": row.source, "page": _page_number(row), "model_version": model_version, "fingerprint": digest}
        try:
            if row.image is None:
                raise InputError(row.error)
            pixels, size = decode_picture(row.image, layout)
            if size:
                page = read_page(pixels, recognizer, size=size)
                lines += [known | line for line in lines_of(page)]
                if page_files:
                    page_files.write(page, row)
                continue
            lines_to_read.append(views(pixels, recognizer.height))
            pending.append(known)
        except InputError as error:
            known["error"] = str(error)
        lines.append(known)
    for line, (reading, _) in zip(pending, transcribe_views(recognizer, lines_to_read), strict=True):
        line |= {"text": reading.text, "confidence": reading.confidence}
    return pa.Table.from_pylist(lines, SCHEMA)


def _page_number(row: Row) -> int:
    return row.image.number if isinstance(row.image, PageOf) else 1


def lines_of(page: Page) -> list[dict]:
    """Return what the table says of each line of a page; of an empty page, one row for line 0, without a confidence."""
    if not page.lines:
        return [{"line": 0, "text": ""}]
    return [
        {"line": number, "outline": points(line.outline), "text": line.text, "confidence": line.confidence}
        for number, line in enumerate(page.lines, start=1)
    ]


def write_joined(parts: Path, output: Path) -> None:
    """Write all parts as one table; a CSV opens right in spreadsheets (see `BOM`, `NO_FORMULA`)."""
    batches = table_of(parts).to_batches()
    with replaced(output) as path, path.open("wb") as file:
        if output.suffix == ".parquet":
            with pq.ParquetWriter(file, SCHEMA) as table:
                for batch in batches:
                    table.write_batch(batch)
            return
        file.write(BOM)
        with CSVWriter(file, SCHEMA) as table:
            for batch in batches:
                table.write_batch(batch.set_column(SCHEMA.names.index("text"), "text", without_formulas(batch["text"])))


def without_formulas(texts: pa.Array) -> pa.Array:
    """Return the texts with `NO_FORMULA` before each that a spreadsheet would compute."""
    is_formula = pc.and_(pc.match_substring_regex(texts, FORMULA), pc.invert(pc.match_substring_regex(texts, NUMBER)))
    return pc.if_else(pc.fill_null(is_formula, False), pc.binary_join_element_wise(NO_FORMULA, texts, ""), texts)
