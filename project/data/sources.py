"""Where line images and transcriptions come from, and which split each is in.

A data set is a table with the columns `image`, `text`, and optionally `writer`, `page` and `split`; the other rooms
make one of what people have. `data`, wherever it is asked for, is one of these:

    lines.csv, .tsv, .parquet        a table                                              tables
    FOLDER, s3://..., part-*.parquet tables in shards, or one for each split              tables
    hf:OWNER/NAME                    a data set of the Hugging Face hub                   hugging_face
    FOLDER with ascii/lines.txt      the IAM database                                     iam
    FOLDER with *.gt.txt             pictures of lines with their transcriptions beside   folders
    FOLDER with *.xml                pages in PAGE XML or ALTO                            page_xml

`splits` gives each row a split.
"""

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pandas as pd
from tqdm import tqdm

from project.data.folders import PICTURES, has_pairs, read_pairs, read_pictures, rows_of_file
from project.data.hugging_face import read_hub
from project.data.iam import lines_file, read_iam
from project.data.page_xml import has_pages, read_pages
from project.data.rows import Row, batched
from project.data.splits import assign_splits, fingerprint
from project.data.tables import find_tables, read_table, split_named
from project.errors import InputError

NO_TABLE = "no table train, validation, test or part-* (.parquet, .csv or .tsv)"
CHUNK = 10_000  # rows that are Python objects at once; a table holds them more densely


def read_data_set(*data: str | Path, seed: int = 0) -> pd.DataFrame:
    """All rows of one or more data sets, each in a split: a column for each field of `Row`, and `data`, which it is.

    A split that none of them gives is held out from `train`, by writer where writers are known, else by page, else by
    line. ValueError names a path, a column or a split that is not as described above.
    """
    rows = _together(read_rows, data)
    return assign_splits(rows, rows["image"].map(fingerprint), ", ".join(map(str, data)), seed)[0]


def scan(*data: str | Path, seed: int = 0) -> pd.DataFrame:
    """As `read_data_set`, without a picture in memory: a `picture`, its `fingerprint`, in place of each `image`."""
    rows = _together(scan_rows, data)
    if not len(rows):
        raise InputError(f"data: {', '.join(map(str, data))}: there are no rows")
    return assign_splits(rows, rows["picture"], ", ".join(map(str, data)), seed)[0]


def _together(read: Callable[[str | Path], pd.DataFrame], data: Sequence[str | Path]) -> pd.DataFrame:
    """The rows of data sets. Where there are several, `test.csv` is of the split `test`; alone it may be anything."""
    tables = [read(one).assign(data=str(one)) for one in data]
    if len(tables) > 1:
        for one, rows in zip(data, tables, strict=True):
            rows["split"] = rows["split"].replace("", split_named(str(one)))
    return pd.concat(tables, ignore_index=True)


def scan_rows(data: str | Path) -> pd.DataFrame:
    """As `read_rows`, without a picture in memory: a `picture`, its `fingerprint`, in place of each `image`."""
    columns = ["picture", *Row._fields[1:]]
    rows = (row._replace(image=fingerprint(row.image)) for row in _with_bar(stream_rows(data)))
    tables = [pd.DataFrame(chunk, columns=columns) for chunk in batched(rows, CHUNK)]
    return pd.concat(tables or [pd.DataFrame(columns=columns)], ignore_index=True)


def read_rows(data: str | Path) -> pd.DataFrame:
    """The rows of a data set as they are: a column for each field of `Row`; `split` is "" where it is not given."""
    return pd.DataFrame(list(_with_bar(stream_rows(data))), columns=Row._fields)


def _with_bar(rows: Iterator[Row]) -> Iterator[Row]:
    return tqdm(rows, desc="finding lines", unit=" lines", leave=False, mininterval=1)


def stream_rows(data: str | Path, labelled: bool = True) -> Iterator[Row]:
    """The rows of a data set one by one, and so their pictures. ValueError names what is not as described above.

    Where they need not be `labelled`, a table may have no column `text`, and a folder is any folder of pictures.
    """
    data = str(data)
    if data.startswith("hf:") and not data.startswith("hf://"):
        return read_hub(data.removeprefix("hf:"), labelled)
    if _is_elsewhere(data):
        return _read_tables(data, labelled)
    path = Path(data).expanduser().resolve()
    if not labelled and path.is_file() and path.suffix.lower() in PICTURES | {".pdf"}:
        return rows_of_file(path)
    if not path.exists():
        raise InputError(f"data: {path} does not exist; it is a table (parquet, CSV, TSV) or a folder")
    kind = _kind(path)
    if kind == "tables":
        return _read_tables(str(path), labelled)
    if kind == "iam":
        return read_iam(path)
    if kind == "pages":
        return read_pages(path)
    if not labelled:
        return read_pictures(path)
    if kind == "pairs":
        return read_pairs(path)
    raise InputError(
        f"data: {path} holds {NO_TABLE}, no ascii/lines.txt of the IAM database, no picture with a .gt.txt beside it, "
        "and no PAGE or ALTO file (.xml)"
    )


def parse_data(data: str) -> list[str]:
    """The data sets that a parameter names, separated by commas. ValueError if one of them has no name."""
    names = [name.strip() for name in data.split(",")]
    if not all(names):
        raise InputError(f"data: {data!r} names nothing before or after a comma")
    return names


def exists(data: str) -> bool:
    """Whether there is anything, as far as this machine can tell; what is elsewhere is taken to be there."""
    return _is_elsewhere(data) or Path(data).expanduser().exists()


def _is_elsewhere(data: str) -> bool:
    """Whether it is an address, the name of a hub's data set, or a pattern: not one path of this machine."""
    return data.startswith("hf:") or "://" in data or "*" in data


def _kind(path: Path) -> str:
    """What is at a path of this machine: "tables", "iam", "pairs", "pages", or "" for none of these."""
    if path.is_file() or find_tables(str(path)):
        return "tables"
    if lines_file(path):
        return "iam"
    if has_pairs(path):
        return "pairs"
    return "pages" if has_pages(path) else ""


def is_picture_folder(data: str | Path) -> bool:
    """Whether `stream_rows` takes its pictures for those of lines: it has no tables, is not the IAM database, and has
    transcriptions beside its pictures, or no pages.
    """
    path = Path(data).expanduser().resolve()
    return path.is_dir() and _kind(path) in ("pairs", "")


def _read_tables(data: str, labelled: bool) -> Iterator[Row]:
    tables = find_tables(data)
    if not tables:
        raise InputError(f"data: {data} holds {NO_TABLE}")
    for table in tables:
        yield from read_table(table if labelled else table._replace(needed=("image",)))
