"""Tables (parquet, CSV, TSV), whole or in shards, on this machine or behind any address that fsspec knows."""

import io
import json
import re
import shutil
import tempfile
import zlib
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from numbers import Number
from pathlib import Path, PurePosixPath
from typing import BinaryIO, NamedTuple

import fsspec
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from fsspec.implementations.local import LocalFileSystem
from PIL import Image

from project.data.delimited import read_records
from project.data.folders import files_in
from project.data.rows import SPLIT_NAMES, SPLITS, Row, batched
from project.errors import InputError

SUFFIXES = (".parquet", ".csv", ".tsv")
COLUMNS = ("image", "text", "writer", "page", "split")
BATCH_ROWS = 256  # of a table that are in memory together
MAX_IN_MEMORY = 1 << 24  # bytes of a text table from elsewhere; a larger one is on the disk while it is read
FETCHERS = 16  # pictures that are fetched together from object storage
SHARD = re.compile(rf"({'|'.join(SPLIT_NAMES)}|part|\d+)[-_.]")


def schema(names: Sequence[str]) -> pa.Schema:
    """Return parquet's columns: `image` and these texts, marked as pictures for the `datasets` library."""
    features = {"image": {"_type": "Image"}} | {name: {"dtype": "string", "_type": "Value"} for name in names}
    image = pa.struct([("bytes", pa.binary()), ("path", pa.string())])
    columns = [("image", image), *((name, pa.string()) for name in names)]
    return pa.schema(columns, metadata={"huggingface": json.dumps({"info": {"features": features}})})


def drawn_row(pixels: np.ndarray, text: str, writer: str, split: str) -> dict:
    """Return the row of a line that was drawn: pixels uint8 (H, W), 0 black to 255 white."""
    png = io.BytesIO()
    Image.fromarray(pixels).save(png, "PNG", compress_type=zlib.Z_HUFFMAN_ONLY)  # grain has no repeats to search for
    return {"image": {"bytes": png.getvalue(), "path": None}, "text": text, "writer": writer, "split": split}


def write_drawn(rows: Sequence[dict], path: Path) -> None:
    """Write rows of `drawn_row` as a parquet table."""
    pq.write_table(pa.Table.from_pylist(rows, schema(("text", "writer", "split"))), path)


class Table(NamedTuple):
    """A file: where it is, what it is called, the split that its name says ("" for none), the columns it must have."""

    filesystem: fsspec.AbstractFileSystem
    path: str
    name: str  # the path, or the whole address
    split: str
    needed: tuple[str, ...] = ("image", "text")


class WrongTable(InputError):
    """A table that can be read, but has not the columns or the splits of a data set."""


def find_tables(data: str) -> list[Table]:
    """Return the tables at a path or an address: of a file, a folder, or a pattern with `*`; training first.

    In a folder the shards count: `train.csv`, `data/train-00000-of-00004.parquet` as the Hugging Face hub has them,
    `part-0.parquet`, and the same in a folder `test`, `test.parquet` or `split=test`, as Apache Spark writes them.
    Raise InputError if nothing can be reached: no such place, an unknown protocol, a package or credentials that are
    missing.
    """
    here = Path(data).expanduser()
    try:
        if here.exists():  # whatever is in its name
            filesystem, root, pattern = LocalFileSystem(), here.resolve().as_posix(), False
        else:
            filesystem, root = fsspec.url_to_fs(data)
            pattern = "*" in root
        if not pattern and filesystem.info(root)["type"] == "file":
            return [Table(filesystem, root, _address(filesystem, root, data), "")]
        paths = sorted(filesystem.glob(root) if pattern else _tables_in(filesystem, root))
    except FileNotFoundError:
        raise InputError(f"data: {data} does not exist") from None
    except Exception as error:  # each protocol has errors of its own
        raise InputError(f"data: {data} cannot be reached: {type(error).__name__}: {error}") from error
    folder = root.partition("*")[0].rpartition("/")[0] if pattern else root
    shards = {path: shard_name(path.removeprefix(folder)) for path in paths if path.lower().endswith(SUFFIXES)}
    return [
        Table(filesystem, path, _address(filesystem, path, data), shard if shard in SPLITS else "")
        for wanted in (*SPLITS, "part", *([""] if pattern else []))
        for path, shard in shards.items()
        if shard == wanted
    ]


def _tables_in(filesystem: fsspec.AbstractFileSystem, root: str) -> list[str]:
    """Return the paths of the tables in a folder and below.

    On this machine the folder may hold millions of pictures beside them, and fsspec would take a kilobyte for each.
    """
    if not isinstance(filesystem, LocalFileSystem):
        return filesystem.find(root)
    return [path.as_posix() for path in files_in(Path(root)) if path.name.lower().endswith(SUFFIXES)]


def shard_name(path: str) -> str:
    """Return the split that the path of a table in a folder names, or "part", or "" if it is no shard of a data set."""
    *folders, name = path.lower().strip("/").split("/")
    shard = SHARD.match(name)
    if not shard or any(folder.startswith((".", "_")) for folder in folders):  # what Spark and others leave beside
        return ""
    stems = (name[: -len(suffix)] if (suffix := PurePosixPath(name).suffix) in SUFFIXES else name for name in folders)
    named = (name.removeprefix("split=") for name in (shard[1], *stems))
    return next((SPLIT_NAMES[name] for name in named if name in SPLIT_NAMES), "part" if shard[1] == "part" else "")


def split_named(data: str) -> str:
    """Return the split in the name of a table, wherever the table is; "" for none, and for what is no table."""
    split = shard_name(PurePosixPath(data).name) if data.lower().endswith(SUFFIXES) else ""
    return split if split in SPLITS else ""


def _address(filesystem: fsspec.AbstractFileSystem, path: str, data: str) -> str:
    """Return the path of a file here, or its whole address: `data` may be chained, zip://lines.csv::s3://bucket/lines.zip."""
    _, *chained = data.split("::")
    return "::".join([filesystem.unstrip_protocol(path), *chained]) if _is_address(data) else path


def read_table(table: Table) -> Iterator[Row]:
    """Yield the rows of a table, in bounded memory: `image` as bytes or as an absolute path.

    A split that a row names counts before that of the file's name. A picture behind an address is fetched; where that
    fails, the row has an error. Raise InputError if it is not such a table.
    """
    suffix = PurePosixPath(table.path).suffix.lower()
    if suffix not in SUFFIXES:
        raise WrongTable(f"data: {table.name} is not one of {', '.join(SUFFIXES)}")
    before = 0
    try:
        with table.filesystem.open(table.path, "rb") as file, ThreadPoolExecutor(FETCHERS) as pool:
            for columns in _read_parquet(file, table) if suffix == ".parquet" else _read_text(file, table, suffix):
                rows = rows_of(columns, table, before)
                yield from pool.map(_fetched, rows) if any(_is_address(row.image) for row in rows) else rows
                before += len(rows)
    except WrongTable:
        raise
    except Exception as error:  # pyarrow and pandas raise a dozen kinds for a file that is cut short or is no table
        raise InputError(f"data: {table.name} cannot be read as {suffix[1:]}: {error}") from error


def check_columns(names: list[str], table: Table) -> None:
    """Raise InputError that names the columns that are missing, and those there are."""
    if missing := [column for column in table.needed if column not in names]:
        raise WrongTable(f"data: {table.name} has no column {' or '.join(missing)}; its columns are {names}")


def _read_parquet(file: BinaryIO, table: Table) -> Iterator[dict[str, list]]:
    """Yield the columns of a data set, some rows at a time."""
    parquet = pq.ParquetFile(file, pre_buffer=False)  # else it keeps all that was read until the end
    names = parquet.schema_arrow.names
    check_columns(names, table)
    for batch in parquet.iter_batches(BATCH_ROWS, columns=[name for name in COLUMNS if name in names]):
        yield batch.to_pydict()


def _read_text(file: BinaryIO, table: Table, suffix: str) -> Iterator[dict[str, list]]:
    """Yield the columns of a data set, some rows at a time; every cell as it is written: "NA" is a text too."""
    with tempfile.SpooledTemporaryFile(MAX_IN_MEMORY) as copy:
        if not isinstance(table.filesystem, LocalFileSystem):  # it is read twice, which not every server allows
            shutil.copyfileobj(file, copy)
            file = copy  # type: ignore[assignment]
        records = read_records(file, suffix, table.name)
        names = next(records)
        check_columns(names, table)
        for rows in batched(records, BATCH_ROWS):
            cells = dict(zip(names, zip(*rows, strict=True), strict=False))
            yield {name: list(cells[name]) for name in COLUMNS if name in cells}


def rows_of(columns: dict[str, list], table: Table, before: int) -> list[Row]:
    """Return some rows of a table, of which `before` came earlier. Raise InputError that names unknown splits."""
    empty = [""] * len(columns["image"])
    writers, pages, splits = ([*map(_string, columns.get(name, empty))] for name in ("writer", "page", "split"))
    if unknown := {table.split, *splits} - {*SPLIT_NAMES, ""}:
        raise WrongTable(f"data: {table.name} names the splits {sorted(unknown)}; allowed are {', '.join(SPLITS)}")
    splits = [SPLIT_NAMES.get(name or table.split, "") for name in splits]
    pictures = [_picture(cell, table) for cell in columns["image"]]
    texts = [_string(cell) for cell in columns.get("text", empty)]
    sources = [f"{table.name}:{number}" for number in range(before + 1, before + 1 + len(empty))]
    return [*map(Row, pictures, texts, writers, pages, splits, sources)]


def _picture(cell: object, table: Table) -> bytes | str:
    """Return the bytes of a picture, or the path or address of its file, from a cell of the column `image`."""
    if isinstance(cell, dict):
        cell = cell.get("bytes") or cell.get("path") or b""
    if isinstance(cell, bytes):
        return cell
    if not isinstance(cell, str) or not cell:
        return b""
    if _is_address(cell):
        return cell
    if not _is_address(table.name):
        return str((Path(table.path).parent / cell).resolve())
    address, *chained = table.name.split("::")
    return "::".join([f"{address.rpartition('/')[0]}/{cell}", *chained])


def _is_address(image: object) -> bool:
    return isinstance(image, str) and "://" in image


def _fetched(row: Row) -> Row:
    """Return a row with the bytes of its picture, if that is given by its address; any other as it is."""
    if not isinstance(row.image, str) or not _is_address(row.image):
        return row
    try:
        with fsspec.open(row.image) as file:
            return row._replace(image=file.read())
    except FileNotFoundError:
        return row._replace(image=None, error=f"{row.image}: no such file")
    except Exception as error:  # each protocol has errors of its own
        return row._replace(image=None, error=f"{row.image}: cannot be fetched: {type(error).__name__}: {error}")


def _string(cell: object) -> str:
    """Return a cell as text; "" where it is missing, or is neither text nor a number.

    Bytes are UTF-8: not every writer of parquet says which of its columns are texts.
    """
    if isinstance(cell, bytes):
        return cell.decode()
    return str(cell) if isinstance(cell, str | Number) and cell == cell else ""
