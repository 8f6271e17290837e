"""Rows of a data set -> lines that the network can learn from."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import pandas as pd
from tqdm import tqdm

from project.charset import Charset
from project.images import Region, line_image, read_picture


@dataclass(frozen=True)
class Line:
    """A line image, uint8 (1, H, W) with paper 0 and ink 255, and what is written in it."""

    image: np.ndarray
    text: str
    labels: list[int]


def frames_needed(labels: Sequence[int]) -> int:
    """The shortest T that CTC can align `labels` with: a frame a label, and a blank between repeats."""
    return len(labels) + sum(a == b for a, b in pairwise(labels))


def usable_lines(
    rows: pd.DataFrame, charset: Charset, height: int, frame_width: int
) -> tuple[list[Line], pd.DataFrame]:
    """Decode the pictures and transcriptions of `rows` (see `dataset.read_data_set`).

    Returns the lines, and a table `source`, `text`, `reason` of the rows that cannot be used: unreadable
    picture, empty text, characters outside the charset, fewer frames than CTC needs.
    ValueError if no row can be used.
    """
    lines, rejected = [], []
    for row in tqdm(rows.itertuples(), total=len(rows), desc="decoding pictures", leave=False, mininterval=1):
        try:
            lines.append(usable_line(row.image, row.text, charset, height, frame_width))
        except ValueError as error:
            rejected.append((row.source, row.text, str(error)))
    if not lines:
        example = f", the first because: {rejected[0][0]}: {rejected[0][2]}" if rejected else ""
        raise ValueError(f"none of the {len(rows)} rows can be used{example}")
    return lines, pd.DataFrame(rejected, columns=["source", "text", "reason"])


def usable_line(
    picture: bytes | str | Region | ValueError, text: str, charset: Charset, height: int, frame_width: int
) -> Line:
    """One row as a `Line`; ValueError says why it cannot be used."""
    image = line_image(read_picture(picture), height)
    if not text:
        raise ValueError("the text is empty")
    labels = charset.encode(text)
    frames = -(-image.shape[2] // frame_width)
    if frames < frames_needed(labels):
        raise ValueError(f"too narrow for its text: {frames} frames, but CTC needs {frames_needed(labels)}")
    return Line(image, text, labels)
