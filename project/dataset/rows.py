"""One line of a data set, whatever the format that it comes from."""

import unicodedata
from typing import NamedTuple

from project.images import Region

SPLITS = ("train", "validation", "test")


class Row(NamedTuple):
    """A picture of a line and what is written in it. What a data set does not say is ""."""

    image: bytes | str | Region | ValueError  # what `images.read_picture` takes: the last says why there is none
    text: str  # as `normalize` gives it
    writer: str = ""
    page: str = ""
    split: str = ""  # one of `SPLITS`
    source: str = ""  # where the row stands: "file:number"


def normalize(text: str) -> str:
    """NFC, every run of white space one space, none at the ends: what a line of ink can tell."""
    return " ".join(unicodedata.normalize("NFC", text).split())
