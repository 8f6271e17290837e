"""Any number of pictures -> a table of what is written in them: in parts, in bounded memory, and resumable.

The parts are parquet files in one folder. Each is written whole or not at all, so that a second call finds out from
them what is missing.
"""

import itertools
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.dataset as ds
import pyarrow.parquet as pq
from filelock import FileLock, Timeout
from pyarrow.csv import CSVWriter
from tqdm import tqdm

from project.archive.page_files import PageFiles
from project.atomic import check_outside, replaced
from project.data import sources
from project.data.folders import count_pictures
from project.data.rows import Row, batched
from project.errors import InputError
from project.pages.line_or_page import decode
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
    }
)
OF_PAGES = {"page", "line", "outline"}  # columns that archives from before November 2026 do not have
WRITERS = {".parquet": pq.ParquetWriter, ".csv": CSVWriter}
PART = 2048  # lines: what a call that is killed has to read again at most
BINS = 20  # of the histogram of confidence
LISTED = 1000  # bad pictures that a summary names; the table has them all


def parts_of(output: str, images: str) -> Path:
    """The folder of the parts: `output` itself, or for `lines.csv` the folder `lines.csv.parts` beside it.

    ValueError if `output` is neither a folder nor a table, is a table that was not made of such parts, or stands among
    the pictures, where it would be taken for more of them.
    """
    path = Path(output).resolve()
    if path.suffix not in ("", *WRITERS):
        raise InputError(f"output: {path} is neither a folder nor one of {', '.join(WRITERS)}")
    check_outside(images, "output", path)
    parts = path.with_name(f"{path.name}.parts") if path.suffix else path
    if path.exists() and not parts.exists():
        raise InputError(f"output: {path} is there already, without {parts.name} beside it; it is never overwritten")
    return parts


@contextmanager
def locked(parts: Path) -> Iterator[None]:
    """Make the folder, and keep others from writing parts to it at the same time. ValueError if somebody does."""
    parts.mkdir(parents=True, exist_ok=True)
    try:
        with FileLock(parts / ".lock", blocking=False):
            yield
    except Timeout:
        raise InputError(f"output: another process is writing to {parts}") from None


def table_of(parts: Path) -> ds.Dataset:
    """All that has been read so far. ValueError if the folder holds other tables."""
    table = ds.dataset(parts, format="parquet", exclude_invalid_files=False)
    names = set(table.schema.names)
    if table.files and names != set(SCHEMA.names) and names != set(SCHEMA.names) - OF_PAGES:
        raise InputError(f"output: {parts} holds tables with the columns {table.schema.names}, not {SCHEMA.names}")
    return table.replace_schema(SCHEMA)


def count(parts: Path) -> int:
    """How many lines have been read so far."""
    return table_of(parts).count_rows()


def keys(sources: Sequence[str]) -> np.ndarray:
    """A number for each source (N,), 64 bits: 8 bytes a line is what resuming holds in memory, and 16 at its start."""
    return pd.util.hash_array(np.array(sources, dtype=object), categorize=False)


def read_keys(parts: Path) -> np.ndarray:
    """The keys of the lines that have been read, in order, and the largest number there is at the end (N + 1,)."""
    batches = table_of(parts).to_batches(columns=["source"])
    end = np.array([np.iinfo(np.uint64).max], dtype=np.uint64)
    known = np.concatenate([end, *(keys(batch["source"].to_pylist()) for batch in batches)])
    known.sort()  # in its place
    return known


def drop_failed(parts: Path) -> None:
    """Take the pictures that could not be read out of the parts, for them to be tried again: they may be whole now."""
    failed = ds.field("error").is_valid()
    for part in table_of(parts).get_fragments():
        if part.count_rows(filter=failed):
            path = Path(part.path)
            path.with_name(f".{path.name}.crc").unlink(missing_ok=True)  # Spark's, of what the part was
            with replaced(path) as beside:
                pq.write_table(part.to_table(SCHEMA, filter=~failed), beside)


def transcribe(
    images: str,
    parts: Path,
    recognizer: Recognizer,
    model_version: int,
    layout: str = "auto",
    page_files: PageFiles | None = None,
) -> None:
    """Read the pictures that `parts` lacks.

    images: see `sources.stream_rows`. layout: one of `line_or_page.LAYOUTS`.
    """
    known = read_keys(parts)
    total = count_pictures(Path(images)) if sources.is_picture_folder(images) else None
    pictures = tqdm(stream_pictures(images), desc="transcribing", unit=" pictures", total=total, mininterval=1)
    unread = itertools.chain.from_iterable(not_done(chunk, known) for chunk in batched(pictures, CHUNK_LINES))
    for number in itertools.count():
        part = parts / f"part-{number:06}.parquet"
        if part.exists():
            continue
        tables: list[pa.Table] = []
        while sum(map(len, tables)) < PART and (rows := list(itertools.islice(unread, min(CHUNK_LINES, PART)))):
            tables.append(read(recognizer, rows, model_version, layout, page_files))
        if not tables:
            return
        with replaced(part) as path:
            pq.write_table(pa.concat_tables(tables), path)


def stream_pictures(images: str) -> Iterator[Row]:
    """Yield the pictures one by one, labelled or not."""
    return sources.stream_rows(images, labelled=False)


def not_done(rows: list[Row], known: np.ndarray) -> list[Row]:
    """The rows whose keys are not among `known` (see `read_keys`)."""
    own = keys([row.source for row in rows])
    there = known[np.searchsorted(known, own)] == own
    return [row for row, exists in zip(rows, there, strict=True) if not exists]


def read(
    recognizer: Recognizer, rows: Sequence[Row], model_version: int, layout: str, page_files: PageFiles | None = None
) -> pa.Table:
    """Read the pictures of `rows`, and write the files of pages; what cannot be read has an error instead.

    Pages are decoded one by one; of lines only their line images are kept until they are read together.
    """
    lines: list[dict] = []
    pending: list[dict] = []  # rows of the table whose lines are to be read
    lines_to_read: list[list[View]] = []
    for row in rows:
        known = {"source": row.source, "page": _page_number(row), "model_version": model_version}
        try:
            if row.image is None:
                raise InputError(row.error)
            pixels, size = decode(row.image, layout)
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
    """All parts as one table."""
    with replaced(output) as path, WRITERS[output.suffix](path, SCHEMA) as table:
        for batch in table_of(parts).to_batches():
            table.write_batch(batch)


@dataclass(frozen=True)
class Summary:
    """What the parts hold. The mean and the histogram (BINS,), from 0 to 1, are of the confidence of what was read;
    `bad`, `least_certain`, `by_chance` and `by_page` are rows.
    """

    lines: int
    bad_pictures: int
    mean_confidence: float
    histogram: np.ndarray
    bad: pd.DataFrame
    least_certain: pd.DataFrame
    by_chance: pd.DataFrame
    by_page: pd.DataFrame  # all lines of the pages that are the least certain in the mean


def summarize(parts: Path, chosen: int, exclude: Collection[str] = ()) -> Summary:
    """Count what the parts hold, and choose so many of its lines, but for those in some places (see `places`).

    Chosen are the least certain lines, as many by chance, which are the same each time, and whole pages until there
    are as many.
    """
    lines = bad_lines = 0
    read_lines, total, histogram = 0, 0.0, np.zeros(BINS, dtype=int)
    bad = least = by_chance = by_page = SCHEMA.empty_table().to_pandas()
    for batch in table_of(parts).to_batches():
        table = batch.to_pandas()
        failed = table["error"].notna()
        read_ones = table[table["confidence"].notna()]
        lines, bad_lines, read_lines = lines + len(table), bad_lines + failed.sum(), read_lines + len(read_ones)
        total += read_ones["confidence"].sum()
        histogram += np.histogram(read_ones["confidence"], BINS, (0, 1))[0]
        bad = pd.concat([bad, table[failed]]).head(LISTED)
        candidates = read_ones[~places(read_ones).isin(exclude)]
        least = pd.concat([least, candidates]).nsmallest(chosen, "confidence")
        by_chance = pd.concat([by_chance, candidates])
        by_chance = by_chance.iloc[keys(places(by_chance)).argsort()[:chosen]]
        by_page = least_certain_pages(pd.concat([by_page, candidates[candidates["line"].notna()]]), chosen)
    mean = total / max(1, read_lines)
    return Summary(lines, int(bad_lines), mean, histogram, bad, least, by_chance, by_page)


def places(lines: pd.DataFrame) -> pd.Series:
    """Return where each line is: its picture's source, or for a page "source#line"."""
    of_page = lines["line"].notna()
    return lines["source"].where(~of_page, lines["source"] + "#" + lines["line"].astype("Int64").astype("string"))


def least_certain_pages(lines: pd.DataFrame, chosen: int) -> pd.DataFrame:
    """Return the lines of whole pages, those of the least mean confidence first, until there are enough lines."""
    lines = lines.assign(mean=lines.groupby("source")["confidence"].transform("mean"))
    lines = lines.sort_values(["mean", "source", "line"], ignore_index=True).drop(columns="mean")
    first = np.flatnonzero(~lines["source"].duplicated())  # of each page
    return lines[lines["source"].isin(lines["source"].iloc[first[first < chosen]])]
