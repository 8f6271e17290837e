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

from project.atomic import check_outside, replaced
from project.data import sources
from project.data.rows import Row, batched
from project.errors import InputError
from project.recognition.image import read_image
from project.recognition.recognizer import CHUNK_LINES, Recognizer

SCHEMA = pa.schema(
    {
        "source": pa.string(),  # where the picture is: its path, or "table:row"
        "text": pa.string(),  # missing, as is the confidence, where there is an error
        "confidence": pa.float64(),  # 0 to 1
        "model_version": pa.int64(),
        "error": pa.string(),  # why the picture could not be read
    }
)
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
    if table.files and set(table.schema.names) != set(SCHEMA.names):
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


def transcribe(images: str, parts: Path, recognizer: Recognizer, model_version: int) -> None:
    """Read the pictures that `parts` lacks. images: see `dataset.stream_rows`."""
    known = read_keys(parts)
    total = sum(1 for _ in pictures_of(images)) if sources.is_picture_folder(images) else None
    rows = tqdm(pictures_of(images), desc="transcribing", unit=" lines", total=total, mininterval=1)
    unread = itertools.chain.from_iterable(not_done(chunk, known) for chunk in batched(rows, CHUNK_LINES))
    for number in itertools.count():
        part = parts / f"part-{number:06}.parquet"
        if part.exists():
            continue
        chunks = batched(itertools.islice(unread, PART), CHUNK_LINES)
        tables = [read(recognizer, chunk, model_version) for chunk in chunks]
        if not tables:
            return
        with replaced(part) as path:
            pq.write_table(pa.concat_tables(tables), path)


def pictures_of(images: str) -> Iterator[Row]:
    """The pictures one by one, labelled or not."""
    return sources.stream_rows(images, labelled=False)


def not_done(rows: list[Row], known: np.ndarray) -> list[Row]:
    """The rows whose keys are not among `known` (see `read_keys`)."""
    own = keys([row.source for row in rows])
    there = known[np.searchsorted(known, own)] == own
    return [row for row, exists in zip(rows, there, strict=True) if not exists]


def read(recognizer: Recognizer, rows: Sequence[Row], model_version: int) -> pa.Table:
    """What is written in the pictures of `rows`; one that cannot be read has an error instead."""
    lines, readable, line_images = [], [], []
    for row in rows:
        lines.append({"source": row.source, "model_version": model_version})
        try:
            line_images.append(recognizer.line_image(read_image(row.image)))
            readable.append(lines[-1])
        except ValueError as error:
            lines[-1]["error"] = str(error)
    for line, reading in zip(readable, recognizer.transcribe(line_images), strict=True):
        line |= {"text": reading.text, "confidence": reading.confidence}
    return pa.Table.from_pylist(lines, SCHEMA)


def write_joined(parts: Path, output: Path) -> None:
    """All parts as one table."""
    with replaced(output) as path, WRITERS[output.suffix](path, SCHEMA) as table:
        for batch in table_of(parts).to_batches():
            table.write_batch(batch)


@dataclass(frozen=True)
class Summary:
    """What the parts hold. The mean and the histogram (BINS,), from 0 to 1, are of the confidence of what was read;
    `bad`, `least_certain` and `by_chance` are rows.
    """

    lines: int
    bad_pictures: int
    mean_confidence: float
    histogram: np.ndarray
    bad: pd.DataFrame
    least_certain: pd.DataFrame
    by_chance: pd.DataFrame


def summarize(parts: Path, chosen: int, exclude: Collection[str] = ()) -> Summary:
    """Count what the parts hold, and choose so many of its lines, but for those of some sources: the least certain,
    and as many by chance, which are the same each time.
    """
    lines = bad_lines = 0
    total, histogram = 0.0, np.zeros(BINS, dtype=int)
    bad = least = by_chance = SCHEMA.empty_table().to_pandas()
    for batch in table_of(parts).to_batches():
        table = batch.to_pandas()
        failed = table["error"].notna()
        told = table[~failed]
        lines, bad_lines, total = lines + len(table), bad_lines + failed.sum(), total + told["confidence"].sum()
        histogram += np.histogram(told["confidence"], BINS, (0, 1))[0]
        bad = pd.concat([bad, table[failed]]).head(LISTED)
        candidates = told[~told["source"].isin(exclude)]
        least = pd.concat([least, candidates]).nsmallest(chosen, "confidence")
        by_chance = pd.concat([by_chance, candidates])
        by_chance = by_chance.iloc[keys(by_chance["source"]).argsort()[:chosen]]
    return Summary(lines, int(bad_lines), total / max(1, lines - bad_lines), histogram, bad, least, by_chance)
