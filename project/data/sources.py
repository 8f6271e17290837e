"""The door of this package: where line images and transcriptions come from.

A data set is a table with the columns `image`, `text`, and optionally `writer`, `page` and `split`; the other rooms
make one of what people have. `data`, wherever it is asked for, is one of these:

    lines.csv, .tsv, .parquet        a table                                              tables
    FOLDER, s3://..., part-*.parquet tables in shards, or one for each split              tables
    hf:OWNER/NAME                    a data set of the Hugging Face hub                   hugging_face
    FOLDER with ascii/lines.txt      the IAM database                                     iam
    FOLDER with *.gt.txt             pictures of lines with their transcriptions beside   folders
    FOLDER with *.xml                pages in PAGE XML or ALTO                            page_xml
    picture.png, FOLDER of pictures  without transcriptions, where none are needed        folders

`rules` says how their texts are taken, and `splits` gives each row a split.
"""

import logging
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pandas as pd
from tqdm import tqdm

from project.data.folders import FILES, has_pairs, read_pairs, read_pictures, rows_of_file
from project.data.hugging_face import read_hub
from project.data.iam import lines_file, read_iam
from project.data.page_xml import has_pages, read_pages
from project.data.rows import Row, batched
from project.data.rules import Rules, apply_rules
from project.data.splits import assign_splits, fingerprint
from project.data.tables import find_tables, read_table, split_named
from project.errors import InputError

NO_TABLE = "no table train, validation, test or part-* (.parquet, .csv or .tsv)"
MAX_ROW_OBJECTS = 10_000  # rows that are Python objects at once; a table holds them more densely
COLUMNS = ["fingerprint", *Row._fields[1:]]  # of a data set without its pictures

log = logging.getLogger(__name__)


def scan(*data: str | Path, seed: int = 0) -> pd.DataFrame:
    """Return all rows of one or more data sets without their pictures, each row in a split.

    Columns: `fingerprint` in place of the image, each other field of `Row`, and `data`, which it is. A split that none
    of them gives is held out from `train`, by writer where writers are known, else by page, else by line. Raise
    InputError that names a path, a column or a split that is not as described above.
    """
    named = ", ".join(map(str, data))
    tables = [scan_rows(one).assign(data=str(one)) for one in data]
    if len(tables) > 1:  # `test.csv` is of the split `test`; alone it may be anything
        for one, rows in zip(data, tables, strict=True):
            rows["split"] = rows["split"].replace("", split_named(str(one)))
    rows = pd.concat(tables, ignore_index=True)
    if not len(rows):
        raise InputError(f"data: {named}: there are no rows")
    return assign_splits(rows, named, seed)[0]


def scan_rows(data: str | Path) -> pd.DataFrame:
    """Return the rows of a data set without their pictures, as `scan` does; `split` is "" where it is not given."""
    counts: Counter = Counter()
    bar = tqdm(stream_rows(data, counts=counts), desc="finding lines", unit=" lines", leave=False, mininterval=1)
    rows = (row._replace(image=fingerprint(row.image)) for row in bar)
    tables = [pd.DataFrame(chunk, columns=COLUMNS) for chunk in batched(rows, MAX_ROW_OBJECTS)]
    for what, count in counts.items():
        if not what.startswith("type: "):
            log.warning("%s: %d texts have %s", data, count, what.removeprefix("mark: "))
    return pd.concat(tables or [pd.DataFrame(columns=COLUMNS)], ignore_index=True)


def stream_rows(
    data: str | Path, labelled: bool = True, rules: Rules | None = None, counts: Counter | None = None
) -> Iterator[Row]:
    """Yield the rows of a data set one by one, and so their pictures.

    Where they need not be `labelled`, a table may have no column `text`, and `data` may be any picture or any folder of
    pictures. rules: how texts are taken; counts: how often something was found in them (see `apply_rules`). Raise
    InputError that names what is not as described above.
    """
    rules = rules or Rules()
    return apply_rules(_read(str(data), labelled, rules.writer), rules, counts)


def _read(data: str, labelled: bool, writer: str) -> Iterator[Row]:
    if data.startswith("hf:") and not data.startswith("hf://"):
        return read_hub(data.removeprefix("hf:"), labelled)
    if _is_elsewhere(data):
        return _read_tables(data, labelled)
    path = Path(data).expanduser().resolve()
    if not path.exists():
        raise InputError(f"data: {path} does not exist; it is a table (parquet, CSV, TSV) or a folder")
    if not labelled and path.is_file() and path.suffix.lower() in FILES:
        return rows_of_file(path)
    match _kind(path):
        case "tables":
            return _read_tables(str(path), labelled)
        case "iam":
            return read_iam(path)
        case "pages":
            return read_pages(path, labelled, writer)
        case "pairs" if labelled:
            return read_pairs(path, writer)
    if labelled:
        raise InputError(
            f"data: {path} holds {NO_TABLE}, no ascii/lines.txt of the IAM database, no picture with a .gt.txt beside "
            "it, and no PAGE or ALTO file (.xml)"
        )
    return read_pictures(path)


def _read_tables(data: str, labelled: bool) -> Iterator[Row]:
    tables = find_tables(data)
    if not tables:
        raise InputError(f"data: {data} holds {NO_TABLE}")
    for table in tables:
        yield from read_table(table if labelled else table._replace(needed=("image",)))


def parse_data(data: str) -> list[str]:
    """Return the data sets that a parameter names, separated by commas; the path of one that is there may have commas.

    Raise InputError if one of them has no name.
    """
    pieces, names = data.split(","), []
    while pieces:
        longest_first = range(len(pieces), 1, -1)
        count = next((n for n in longest_first if Path(",".join(pieces[:n]).strip()).expanduser().exists()), 1)
        names.append(",".join(pieces[:count]).strip())
        del pieces[:count]
    if not all(names):
        raise InputError(f"data: {data!r} has an empty name before or after a comma")
    return names


def exists(data: str) -> bool:
    """Return whether there is anything, as far as this machine can tell; what is elsewhere is taken to be there."""
    return _is_elsewhere(data) or Path(data).expanduser().exists()


def _is_elsewhere(data: str) -> bool:
    """Return whether it is an address, the name of a hub's data set, or a pattern: not one path of this machine."""
    return (data.startswith("hf:") or "://" in data or "*" in data) and not Path(data).expanduser().exists()


def _kind(path: Path) -> str:
    """Return what is at a path of this machine: "tables", "iam", "pairs", "pages", or "" for none of these."""
    if path.is_file() or find_tables(str(path)):
        return "tables"
    if lines_file(path):
        return "iam"
    if has_pairs(path):
        return "pairs"
    return "pages" if has_pages(path) else ""


def is_picture_folder(data: str | Path) -> bool:
    """Return whether `stream_rows` takes each picture in it for a row, where rows need not be labelled.

    It has no tables, is not the IAM database, and has transcriptions beside its pictures, or no pages.
    """
    path = Path(data).expanduser().resolve()
    return path.is_dir() and _kind(path) in ("pairs", "")
