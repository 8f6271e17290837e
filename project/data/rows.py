"""One line of a data set, whatever the format that it comes from."""

import itertools
from collections.abc import Iterable, Iterator
from typing import NamedTuple, TypeVar

from project.recognition.image import Region
from project.recognition.picture_file import PageOf

SPLITS = ("train", "validation", "test")
SPLIT_NAMES = dict(zip(SPLITS, SPLITS, strict=True)) | dict.fromkeys(("val", "valid", "dev"), "validation")
Item = TypeVar("Item")


class Row(NamedTuple):
    """A picture of a line and what is written in it. What a data set does not say is ""."""

    image: bytes | str | PageOf | Region | ValueError  # what `images.read_image` takes: the last says why there is none
    text: str  # as `charset.normalize` gives it
    writer: str = ""
    page: str = ""
    split: str = ""  # one of `SPLITS`
    source: str = ""  # where the row stands: "file:number"


def batched(rows: Iterable[Item], size: int) -> Iterator[list[Item]]:
    """Lists of `size` rows, or of what else there are many of; the last may be shorter."""
    rows = iter(rows)
    return iter(lambda: list(itertools.islice(rows, size)), [])
