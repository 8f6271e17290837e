"""Rows of a data set -> lines that the network can learn from."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import pandas as pd

from project.charset import Charset
from project.store import LineImages


@dataclass(frozen=True)
class Line:
    """A line image, uint8 (1, H, W) with paper 0 and ink 255, and what is written in it."""

    image: np.ndarray
    text: str
    labels: list[int]


class Lines(Sequence[Line]):
    """Rows of a data set as lines, each read from the store when it is asked for. `widths` (N,) are theirs, in px,
    and `lengths` (N,) those of their texts.
    """

    def __init__(self, images: LineImages, texts: pd.Series, charset: Charset):
        self._images, self._texts, self._charset = images, texts, charset
        self.widths = images.widths[texts.index]
        self.lengths = texts.str.len().to_numpy()

    def __len__(self) -> int:
        return len(self._texts)

    def __getitem__(self, index: int) -> Line:
        text = self._texts.iloc[index]
        return Line(self._images[self._texts.index[index]], text, self._charset.encode(text))


def widths_of(lines: Sequence[Line]) -> np.ndarray:
    """The width of each line image (N,), in px."""
    return lines.widths if isinstance(lines, Lines) else np.array([line.image.shape[2] for line in lines])


def lengths_of(lines: Sequence[Line]) -> np.ndarray:
    """The number of labels of each line (N,)."""
    return lines.lengths if isinstance(lines, Lines) else np.array([len(line.labels) for line in lines])


def frames_needed(labels: Sequence[int]) -> int:
    """The shortest T that CTC can align `labels` with: a frame a label, and a blank between repeats."""
    return len(labels) + sum(a == b for a, b in pairwise(labels))


def usable_lines(
    rows: pd.DataFrame, images: LineImages, charset: Charset, frame_width: int
) -> tuple[Lines, pd.DataFrame]:
    """The rows (see `dataset.survey`) that can be learnt from. images: the line image of each, by its index.

    Returns the lines, and a table `source`, `text`, `reason` of the rows that cannot be used: unreadable
    picture, empty text, characters outside the charset, fewer frames than CTC needs.
    ValueError if no row can be used.
    """
    usable, rejected = [], []
    for row in rows.itertuples():
        try:
            check(images.width(row.Index), row.text, charset, frame_width)
            usable.append(row.Index)
        except ValueError as error:
            rejected.append((row.source, row.text, str(error)))
    if not usable:
        example = f", the first because: {rejected[0][0]}: {rejected[0][2]}" if rejected else ""
        raise ValueError(f"none of the {len(rows)} rows can be used{example}")
    return Lines(images, rows.loc[usable, "text"], charset), pd.DataFrame(
        rejected, columns=["source", "text", "reason"]
    )


def check(width: int, text: str, charset: Charset, frame_width: int) -> None:
    """ValueError says why a line image of `width` px with this text cannot be learnt from."""
    if not text:
        raise ValueError("the text is empty")
    needed = frames_needed(charset.encode(text))
    frames = -(-width // frame_width)
    if frames < needed:
        raise ValueError(f"too narrow for its text: {frames} frames, but CTC needs {needed}")
