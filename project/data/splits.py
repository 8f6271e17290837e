"""Which split each row is in, by rules that keep a hand out of two of them; and what is in two of them all the same."""

import functools
import hashlib
import logging
from pathlib import Path

import pandas as pd

from project.data.rows import SPLITS
from project.errors import InputError
from project.recognition.image import Region

HELD_OUT = 0.1  # share of the training lines that go to a split which the data set does not have

log = logging.getLogger(__name__)


def assign_splits(rows: pd.DataFrame, pictures: pd.Series, data: str, seed: int) -> tuple[pd.DataFrame, dict[str, str]]:
    """The rows of `data` with each in a split, and how each split came about: "given", "by writer", "by page", ...

    pictures: the `fingerprint` of each row. Rows without a split are in `train`. ValueError if `train` is empty.
    """
    rows = rows.assign(split=rows["split"].replace("", "train"))
    if (rows["split"] == "train").sum() == 0:
        raise InputError(f"data: {data}: no row is in the split 'train'; splits are {sorted(set(rows['split']))}")
    origins = dict.fromkeys(SPLITS, "given")
    for split in ("test", "validation"):
        if not (rows["split"] == split).any():
            rows, origins[split] = hold_out(rows, pictures, split, seed)
            origins["train"] = "what is left"
    return rows, origins


def hold_out(rows: pd.DataFrame, pictures: pd.Series, split: str, seed: int) -> tuple[pd.DataFrame, str]:
    """Move about a tenth of the rows in `train` to `split`, and say how: whole writers, else whole pages, else lines.
    Among writers, rows that name none are taken by page, else by line. Rows without a text count for nothing here.

    Who comes first is a matter of names and pictures, and not of who else is there: as a data set grows, nearly all
    that was held out still is, and a version that is trained anew is not measured on what the one before has learnt.
    ValueError if `train` would be empty after it.
    """
    train = rows[(rows["split"] == "train") & (rows["text"] != "")]
    if len(train) < 2:
        raise InputError(f"data: {len(train)} training rows with a text are too few to hold out the split '{split}'")
    unit = next((unit for unit in ("writer", "page") if train[unit].nunique() > 1), "line")
    if unit == "line":
        log.warning(
            "no writers or pages are named: '%s' is held out by line, so its hands occur in training too", split
        )
    elif unnamed := int((train[unit] == "").sum()):
        log.warning(
            "%d of %d training rows name no %s: their hands may be in '%s' too", unnamed, len(train), unit, split
        )
    groups = "line " + pictures[train.index].where(pictures != "", train["source"])
    for known in {"line": (), "page": ("page",), "writer": ("page", "writer")}[unit]:
        groups = groups.mask(train[known] != "", f"{known} " + train[known])
    sizes = groups.value_counts().sort_index(key=lambda names: names.map(functools.partial(lottery_key, split, seed)))
    room = HELD_OUT * len(train)
    chosen = []
    for group, size in sizes.items():
        if size <= room and len(chosen) < len(sizes) // 2:  # where one hand wrote most, others stay beside it
            chosen.append(group)
            room -= size
    rows = rows.copy()
    rows.loc[groups.index[groups.isin(chosen or [sizes.idxmin()])], "split"] = split
    return rows, f"by {unit}"


def lottery_key(split: str, seed: int, group: str) -> bytes:
    """The lot of a group: those with the lowest come first."""
    return hashlib.sha256(f"{split} {seed} {group}".encode()).digest()


def find_leaks(rows: pd.DataFrame, pictures: pd.Series) -> pd.DataFrame:
    """The rows that a recogniser could know by heart when it is measured: `source`, `split`, `text`, `leak`.

    pictures: the `fingerprint` of each row. `leak` is "picture" where the same one is in another split, or
    "text and writer" where the same writer wrote the same there.
    """
    found = pd.Series("", index=rows.index)
    repeated = rows.groupby(["writer", "text"])["split"].transform("nunique") > 1
    found[repeated & (rows["writer"] != "") & (rows["text"] != "")] = "text and writer"
    found[(rows["split"].groupby(pictures).transform("nunique") > 1) & (pictures != "")] = "picture"
    return rows.loc[found != "", ["source", "split", "text"]].assign(leak=found[found != ""])


def fingerprint(image: bytes | str | Region | ValueError) -> str:
    """Hexadecimal digits of a picture's file, whatever its name, and of the outline in it; "" if there is no file."""
    if isinstance(image, ValueError):
        return ""
    if isinstance(image, Region):
        page = _file_fingerprint(image.page)
        return page and hashlib.sha256(f"{page} {image.outline} {image.size}".encode()).hexdigest()
    if isinstance(image, str):
        try:
            image = Path(image).read_bytes()
        except (OSError, ValueError):  # what is wrong with it is told by who reads it
            return ""
    return hashlib.sha256(image).hexdigest() if image else ""


@functools.lru_cache(maxsize=1)
def _file_fingerprint(path: str) -> str:
    """Lines come page by page: a page's file is read once, not once for each of its lines."""
    return fingerprint(path)


def digest_rows(rows: pd.DataFrame, pictures: pd.Series) -> str:
    """16 hexadecimal digits of the pictures, transcriptions and splits of a data set.

    pictures: the `fingerprint` of each row.
    """
    told = hashlib.sha256()
    for picture, text, split in zip(pictures, rows["text"], rows["split"], strict=True):
        told.update(f"{picture}\n{text}\n{split}\n".encode())
    return told.hexdigest()[:16]
