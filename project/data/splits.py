"""Which split each row is in, by rules that keep a hand out of two of them; and what is in two of them all the same."""

import functools
import hashlib
import logging
from pathlib import Path

import pandas as pd

from project.data.rows import SPLITS, Image, of_split
from project.errors import InputError
from project.recognition.image import Region
from project.recognition.picture_file import PageOf

HELD_OUT = 0.1  # share of the training lines that go to a split which the data set does not have
SHOWN_WRITERS = 5  # whom a warning names

log = logging.getLogger(__name__)


def assign_splits(rows: pd.DataFrame, data: str, seed: int) -> tuple[pd.DataFrame, dict[str, str]]:
    """Return the rows of `data` with each in a split, and how each split came about: "given", "by writer", "by page".

    rows: with a column `fingerprint`. Those without a split are in `train`. Raise InputError if `train` is empty.
    """
    rows = rows.assign(split=rows["split"].replace("", "train"))
    if not len(of_split(rows, "train")):
        raise InputError(f"data: {data}: no row is in the split 'train'; splits are {sorted(set(rows['split']))}")
    origins = dict.fromkeys(SPLITS, "given")
    for split in ("test", "validation"):
        if not len(of_split(rows, split)):
            rows, origins[split] = hold_out(rows, split, seed)
            origins["train"] = "what is left"
    shared = shared_writers(rows)
    if len(shared):
        examples = "; ".join(f"{writer} ({splits})" for writer, splits in shared.head(SHOWN_WRITERS).items())
        log.warning(
            "%d writers are in two splits, so that hands which are measured were trained on: %s", len(shared), examples
        )
    return rows, origins


def shared_writers(rows: pd.DataFrame) -> pd.Series:
    """Return the splits of each writer who is in more than one of them: "train, test"."""
    named = rows[(rows["writer"] != "") & (rows["text"] != "")]
    splits = named.groupby("writer")["split"].agg(lambda own: ", ".join(one for one in SPLITS if one in set(own)))
    return splits[splits.str.contains(",", regex=False)] if len(splits) else splits


def hold_out(rows: pd.DataFrame, split: str, seed: int) -> tuple[pd.DataFrame, str]:
    """Move about a tenth of the rows in `train` to `split`, and say how: whole writers, else whole pages, else lines.
    Among writers, rows that name none are taken by page, else by line. Rows without a text count for nothing here.

    Who comes first is a matter of names and pictures, and not of who else is there: as a data set grows, nearly all
    that was held out still is, and a version that is trained anew is not measured on what the one before has learnt.
    rows: with a column `fingerprint`. Raise InputError if `train` would be empty after it.
    """
    train = of_split(rows[rows["text"] != ""], "train")
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
    groups = "line " + train["fingerprint"].where(train["fingerprint"] != "", train["source"])
    for known in {"line": (), "page": ("page",), "writer": ("page", "writer")}[unit]:
        groups = groups.mask(train[known] != "", f"{known} " + train[known])
    sizes = groups.value_counts().sort_index(key=lambda names: names.map(functools.partial(lottery_key, split, seed)))
    room = HELD_OUT * len(train)
    chosen: list[str] = []
    for group, size in sizes.items():
        if size <= room and len(chosen) < len(sizes) // 2:  # where one hand wrote most, others stay beside it
            chosen.append(group)
            room -= size
    rows = rows.copy()
    rows.loc[groups.index[groups.isin(chosen or [sizes.idxmin()])], "split"] = split
    return rows, f"by {unit}"


def lottery_key(split: str, seed: int, group: str) -> bytes:
    """Return the lot of a group: those with the lowest come first."""
    return hashlib.sha256(f"{split} {seed} {group}".encode()).digest()


def find_leaks(rows: pd.DataFrame) -> pd.DataFrame:
    """Return the rows that a recogniser could know by heart when it is measured: `source`, `split`, `text`, `leak`.

    rows: with a column `fingerprint`. `leak` is "picture" where the same one is in another split, or "text and writer"
    where the same writer wrote the same there.
    """
    found = pd.Series("", index=rows.index)
    repeated = rows.groupby(["writer", "text"])["split"].transform("nunique") > 1
    found[repeated & (rows["writer"] != "") & (rows["text"] != "")] = "text and writer"
    several = rows.groupby("fingerprint")["split"].transform("nunique") > 1
    found[several & (rows["fingerprint"] != "")] = "picture"
    return rows.loc[found != "", ["source", "split", "text"]].assign(leak=found[found != ""])


def fingerprint(image: Image | None) -> str:
    """Return hexadecimal digits of a picture's file, whatever its name, and of the part of it; "" without a file."""
    if isinstance(image, Region):
        page, angle = _file_fingerprint(image.page), f" {image.angle}" if image.angle else ""
        return page and hashlib.sha256(f"{page} {image.outline} {image.size}{angle}".encode()).hexdigest()
    if isinstance(image, PageOf):
        file = _file_fingerprint(image.file)
        return file and hashlib.sha256(f"{file} page {image.number}".encode()).hexdigest()
    if isinstance(image, str):
        try:
            image = Path(image).read_bytes()
        except (OSError, ValueError):  # what is wrong with it is said by who reads it
            return ""
    return hashlib.sha256(image).hexdigest() if image else ""


@functools.lru_cache(maxsize=1)
def _file_fingerprint(file: bytes | str) -> str:
    """Lines come page by page: a page's file is read once, not once for each of its lines."""
    return fingerprint(file)


def digest_rows(rows: pd.DataFrame) -> str:
    """Return 16 hexadecimal digits of the pictures, transcriptions and splits of a data set.

    rows: with a column `fingerprint`.
    """
    digest = hashlib.sha256()
    for known, text, split in zip(rows["fingerprint"], rows["text"], rows["split"], strict=True):
        digest.update(f"{known}\n{text}\n{split}\n".encode())
    return digest.hexdigest()[:16]
