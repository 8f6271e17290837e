"""Where line images and transcriptions come from, and which split each is in.

A data set is a table (parquet, CSV or TSV) with the columns `image` (the Hugging Face struct of bytes and path,
plain bytes, or a path relative to the table) and `text`, and optionally `writer` and `split`; or a folder that
holds such a table for each split: `train`, `validation`, `test`.
"""

import csv
import hashlib
import logging
import unicodedata
from collections.abc import Callable
from numbers import Number
from pathlib import Path

import pandas as pd

SPLITS = ("train", "validation", "test")
HELD_OUT = 0.1  # share of the training lines that go to a split which the data set does not have

log = logging.getLogger(__name__)


def normalize(text: str) -> str:
    """NFC, every run of white space one space, none at the ends: what a line of ink can tell."""
    return " ".join(unicodedata.normalize("NFC", text).split())


def read_data_set(*data: str | Path, seed: int = 0) -> pd.DataFrame:
    """All rows of one or more data sets, each in a split: columns `image`, `text`, `writer`, `split`, `source`
    ("file:row").

    A split that none of them gives is held out from `train`, by writer where writers are known.
    ValueError names a path, a column or a split that is not as described above.
    """
    rows = pd.concat(map(read_rows, data), ignore_index=True)
    rows["split"] = rows["split"].replace("", "train")
    if (rows["split"] == "train").sum() == 0:
        raise ValueError(
            f"{', '.join(map(str, data))}: no row is in the split 'train'; splits are {sorted(set(rows['split']))}"
        )
    for split in ("test", "validation"):
        if not (rows["split"] == split).any():
            rows = hold_out(rows, split, seed)
    return rows


def read_rows(data: str | Path) -> pd.DataFrame:
    """All rows of a table, or of a folder of tables, as they are: `split` is "" where it is not given."""
    path = Path(data).expanduser().resolve()
    if path.is_file():
        return read_table(path)
    if not path.is_dir():
        raise ValueError(f"data: {path} does not exist; it is a table (parquet, CSV, TSV) or a folder of such tables")
    tables = [(split, path / f"{split}{suffix}") for split in SPLITS for suffix in READERS]
    found = [read_table(table).assign(split=split) for split, table in tables if table.is_file()]
    if not found:
        raise ValueError(f"data: {data} holds no table train, validation or test (.parquet, .csv or .tsv)")
    return pd.concat(found, ignore_index=True)


def read_table(path: Path) -> pd.DataFrame:
    """The rows of one table, `image` as bytes or as an absolute path. ValueError if it is not such a table."""
    if path.suffix not in READERS:
        raise ValueError(f"data: {path} is not one of {', '.join(READERS)}")
    try:
        table = READERS[path.suffix](path)
    except Exception as error:  # pyarrow and pandas raise a dozen kinds for a file that is cut short or is no table
        raise ValueError(f"data: {path} cannot be read as {path.suffix[1:]}: {error}") from error
    if missing := [column for column in ("image", "text") if column not in table]:
        raise ValueError(f"data: {path} has no column {' or '.join(missing)}; its columns are {list(table.columns)}")
    rows = pd.DataFrame(
        {
            "image": [_picture(cell, path.parent) for cell in table["image"]],
            "text": [normalize(_string(cell)) for cell in table["text"]],
            "writer": [_string(cell) for cell in table["writer"]] if "writer" in table else "",
            "split": [_string(cell) for cell in table["split"]] if "split" in table else "",
            "source": [f"{path}:{row}" for row in range(1, len(table) + 1)],
        }
    )
    if unknown := set(rows["split"]) - {*SPLITS, ""}:
        raise ValueError(f"data: {path} names the splits {sorted(unknown)}; allowed are {', '.join(SPLITS)}")
    return rows


def _text_table(separator: str, quoting: int) -> Callable[[Path], pd.DataFrame]:
    """A reader that takes every cell as it is written: "NA" and "null" are texts too."""

    def read(path: Path) -> pd.DataFrame:
        table = pd.read_csv(path, sep=separator, quoting=quoting, dtype=str, keep_default_na=False)
        if not isinstance(table.index, pd.RangeIndex):  # pandas takes the first cells for names of rows
            raise ValueError("its rows have more cells than its header; a text with a separator in it needs quotes")
        return table

    return read


READERS = {
    ".parquet": pd.read_parquet,
    ".csv": _text_table(",", csv.QUOTE_MINIMAL),
    ".tsv": _text_table("\t", csv.QUOTE_NONE),
}


def _picture(cell: object, folder: Path) -> bytes | str:
    """The bytes of a picture, or the path of its file, from a cell of the column `image`."""
    if isinstance(cell, dict):
        cell = cell.get("bytes") or cell.get("path") or b""
    if isinstance(cell, bytes):
        return cell
    return str((folder / cell).resolve()) if isinstance(cell, str) and cell else b""


def _string(cell: object) -> str:
    """A cell as text; "" where it is missing, or is neither text nor a number."""
    return str(cell) if isinstance(cell, str | Number) and cell == cell else ""


def hold_out(rows: pd.DataFrame, split: str, seed: int) -> pd.DataFrame:
    """Move about a tenth of the rows in `train` to `split`: whole writers, or single lines where there are none.

    ValueError if `train` would be empty after it.
    """
    train = rows.index[rows["split"] == "train"]
    if len(train) < 2:
        raise ValueError(f"data: {len(train)} training rows are too few to hold out the split '{split}'")
    hands = rows.loc[train, "writer"]
    if hands.nunique() < 2 or (hands == "").any():
        log.warning("too few writers are named: '%s' is held out by line, so its hands occur in training too", split)
        hands = pd.Series(train.astype(str), index=train)
    sizes = hands.value_counts().sort_index().sample(frac=1, random_state=seed)
    room = HELD_OUT * len(train)
    chosen = []
    for hand, size in sizes.items():
        if size <= room and len(chosen) < len(sizes) // 2:  # where one hand wrote most, others stay beside it
            chosen.append(hand)
            room -= size
    rows = rows.copy()
    rows.loc[hands.index[hands.isin(chosen or [sizes.idxmin()])], "split"] = split
    return rows


def digest(rows: pd.DataFrame) -> str:
    """A fingerprint of the pictures, transcriptions and splits of a data set: 16 hexadecimal digits.

    A picture given by its path counts by what the file holds, or by nothing where there is no such file.
    """
    fingerprint = hashlib.sha256()
    for row in rows.itertuples():
        image = row.image
        if isinstance(image, str):
            image = Path(image).read_bytes() if Path(image).is_file() else b""
        fingerprint.update(b"%d %s" % (len(image), image))
        fingerprint.update(f"{row.text}\n{row.split}\n".encode())
    return fingerprint.hexdigest()[:16]
