"""One line of a data set, whatever the format that it comes from."""

import itertools
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Executor, Future
from typing import NamedTuple, TypeVar

import numpy as np
import pandas as pd

from project.errors import InputError
from project.recognition.image import Region, read_image
from project.recognition.picture_file import PageOf

SPLITS = ("train", "validation", "test")
SPLIT_NAMES = dict(zip(SPLITS, SPLITS, strict=True)) | dict.fromkeys(("val", "valid", "dev"), "validation")
Item = TypeVar("Item")
Result = TypeVar("Result")
Image = bytes | str | PageOf | Region  # what `read_image` takes


class Row(NamedTuple):
    """A picture of a line and what is written in it. What a data set does not say is ""."""

    image: Image | None  # None where there is an error
    text: str  # as `charset.normalize` gives it
    writer: str = ""
    page: str = ""
    split: str = ""  # one of `SPLITS`
    source: str = ""  # where the row stands: "file:number"
    error: str = ""  # why there is no picture
    line_type: str = ""  # as PAGE or ALTO names it: "print", "marginalia"


def read_row(row: Row) -> np.ndarray:
    """Decode the picture of a row, also of a table's: uint8 (H, W), 0 black to 255 white.

    Raise InputError that says why there is none.
    """
    if row.error or row.image is None:
        raise InputError(row.error or f"{row.source}: there is no picture")
    return read_image(row.image)


def of_split(rows: pd.DataFrame, split: str) -> pd.DataFrame:
    """Return the rows of a split."""
    return rows[rows["split"] == split]


def mapped_ahead(
    pool: Executor, function: Callable[[Item], Result], items: Iterable[Item], ahead: int
) -> Iterator[Result]:
    """Yield what `function` makes of each item, in order; the pool is `ahead` items ahead of what is asked for."""
    pending: deque[Future[Result]] = deque()
    for item in items:
        pending.append(pool.submit(function, item))
        if len(pending) > ahead:
            yield pending.popleft().result()
    while pending:
        yield pending.popleft().result()


def batched(items: Iterable[Item], size: int) -> Iterator[list[Item]]:
    """Yield lists of `size` items; the last may be shorter."""
    items = iter(items)
    return iter(lambda: list(itertools.islice(items, size)), [])
