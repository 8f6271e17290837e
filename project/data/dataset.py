"""Data sets -> lines that the network can learn from, by split."""

import logging
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path

import numpy as np
import pandas as pd

from project.data import font_lines, sources, stitching, synthetic
from project.data.line_cache import LineImages, line_images
from project.data.rows import SPLITS, Row, of_split
from project.data.splits import digest_rows, find_leaks
from project.errors import InputError
from project.recognition.batch import frames_of
from project.recognition.charset import Charset

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Line:
    """A line image, uint8 (1, H, W) with paper 0 and ink 255, and what is written in it."""

    image: np.ndarray
    text: str
    labels: list[int]


class Lines(Sequence[Line]):
    """Rows of a data set as lines, each read from the cache when it is asked for.

    `rows` is which they are, `widths` (N,) are theirs, in px, and `lengths` (N,) those of their texts.
    """

    def __init__(self, images: LineImages, texts: pd.Series, charset: Charset):
        self._images, self._texts, self._charset = images, texts, charset
        self.rows = texts.index
        self.widths = images.widths[self.rows]
        self.lengths = texts.str.len().to_numpy()

    def __len__(self) -> int:
        return len(self._texts)

    def __getitem__(self, index: int) -> Line:  # type: ignore[override]
        text = self._texts.iloc[index]
        return Line(self._images[self.rows[index]], text, self._charset.encode(text))


@dataclass(frozen=True)
class Data:
    """A data set that is ready to train on.

    Its rows, their line images by the index of `rows`, and those that can be learnt from as lines, by split.
    """

    names: tuple[str, ...]
    locations: tuple[str, ...]
    rows: pd.DataFrame
    digest: str
    charset: Charset
    images: LineImages
    lines: dict[str, Lines]
    rejected: pd.DataFrame
    leaks: pd.DataFrame

    def at_height(self, chosen: pd.Index, height: int) -> tuple[pd.DataFrame, LineImages]:
        """Return some of the rows, by their index in `rows`, with line images of that height by their new index."""
        rows = self.rows.loc[chosen]
        if height == self.images.height:
            return rows, self.images
        streamed = (row for index, row in enumerate(stream_all(self.locations)) if index in chosen)
        return rows.reset_index(drop=True), line_images(streamed, rows["fingerprint"], height)


def load_data(
    *data: str, height: int, seed: int, synthetic_lines: Mapping[str, int] = synthetic.LINES, characters: str = ""
) -> Data:
    """Read one or more data sets as one; each is as `sources` says, or as `made_data_set`.

    The charset is every character of the training transcriptions, and those of `characters`. Raise InputError if no
    row of training or validation can be used.
    """
    locations = [made_data_set(one, dict(synthetic_lines), seed) for one in data]
    rows = sources.scan(*locations, seed=seed)
    texts = of_split(rows, "train")["text"]
    if not any(texts):
        raise InputError(f"data: {', '.join(data)}: none of the {len(texts)} training rows has a text")
    charset = Charset.from_texts([*texts, characters])
    images = line_images(stream_all(locations), rows["fingerprint"], height)
    usable = {split: usable_lines(split, of_split(rows, split), images, charset) for split in SPLITS}
    rejected = pd.concat([table for _, table in usable.values()], ignore_index=True)
    if len(rejected):
        log.warning("%d of %d rows cannot be used; the run's rejected_rows.csv lists them", len(rejected), len(rows))
    leaks = find_leaks(rows)
    if len(leaks):
        log.warning(
            "%d rows are in two splits, by picture or by text and writer; the run's leaks.csv lists them", len(leaks)
        )
    lines = {split: lines for split, (lines, _) in usable.items()}
    return Data(data, tuple(locations), rows, digest_rows(rows), charset, images, lines, rejected, leaks)


def repeat_lines(data: Data, times: Mapping[str, int]) -> Data:
    """Let the training lines of some data sets come several times in an epoch. times: by the last part of their names.

    Raise InputError if there is no such data set.
    """
    name_of = data.rows["data"].map(lambda name: Path(name.rstrip("/")).name)
    if unknown := times.keys() - set(name_of):
        raise InputError(f"repeat: there is no data set {sorted(unknown)[0]!r}; there are {sorted(set(name_of))}")
    rows = data.lines["train"].rows
    rows = rows.repeat(name_of[rows].map(lambda name: times.get(name, 1)).to_numpy())
    return replace(data, lines=data.lines | {"train": Lines(data.images, data.rows["text"].loc[rows], data.charset)})


def is_made(name: str) -> bool:
    """Return whether a data set is made when it is asked for: "synthetic", the embedded default;
    "synthetic:FONTS:TEXTS" (see `font_lines`); "stitched:TABLE" (see `stitching`).
    """
    kind, *parts = name.split(":")
    return name == "synthetic" or (kind == "synthetic" and len(parts) == 2) or (kind == "stitched" and bool(parts))


def made_data_set(name: str, lines: dict[str, int], seed: int) -> str:
    """Return where a data set is, after making it if it `is_made`."""
    if not is_made(name):
        return name
    kind, _, rest = name.partition(":")
    if kind == "stitched":
        return str(stitching.stitch(rest, None, lines.get("train", 0), seed))
    if not rest:
        return str(synthetic.synthesize(None, lines, seed))
    fonts, texts = rest.split(":")
    return str(font_lines.synthesize(fonts, texts, None, lines, seed))


def stream_all(locations: Iterable[str]) -> Iterator[Row]:
    """Yield the rows of data sets, one by one, in the order of `sources.scan`."""
    return (row for location in locations for row in sources.stream_rows(location))


def widths_of(lines: Sequence[Line]) -> np.ndarray:
    """Return the width of each line image (N,), in px."""
    return lines.widths if isinstance(lines, Lines) else np.array([line.image.shape[2] for line in lines])


def lengths_of(lines: Sequence[Line]) -> np.ndarray:
    """Return the number of labels of each line (N,)."""
    return lines.lengths if isinstance(lines, Lines) else np.array([len(line.labels) for line in lines])


def frames_needed(labels: Sequence[int]) -> int:
    """Return the shortest T that CTC can align `labels` with: a frame a label, and a blank between repeats."""
    return len(labels) + sum(a == b for a, b in pairwise(labels))


def usable_lines(split: str, rows: pd.DataFrame, images: LineImages, charset: Charset) -> tuple[Lines, pd.DataFrame]:
    """Return the rows of a split (see `sources.scan`) that can be learnt from.

    images: the line image of each, by its index. Returns the lines, and a table `source`, `text`, `reason` of the rows
    that cannot be used: unreadable picture, empty text, characters outside the charset, fewer frames than CTC needs.
    Raise InputError if no row can be used; of `test`, which is read whatever its characters, if none can be read.
    """
    usable, rejected = [], []
    for row in rows.itertuples():
        try:
            check(images.width(row.Index), row.text, charset)
            usable.append(row.Index)
        except InputError as error:
            rejected.append((row.source, row.text, str(error)))
    readable = any(row.text and images.widths[row.Index] for row in rows.itertuples())
    if not usable and not (split == "test" and readable):
        example = f", the first because: {rejected[0][0]}: {rejected[0][2]}" if rejected else ""
        raise InputError(f"none of the {len(rows)} rows of the split {split} can be used{example}")
    return Lines(images, rows.loc[usable, "text"], charset), pd.DataFrame(
        rejected, columns=["source", "text", "reason"]
    )


def check(width: int, text: str, charset: Charset) -> None:
    """Raise InputError if a line image of `width` px with this text cannot be learnt from."""
    if not text:
        raise InputError("the text is empty")
    needed = frames_needed(charset.encode(text))
    frames = frames_of(width)
    if frames < needed:
        raise InputError(f"too narrow for its text: {frames} frames, but CTC needs {needed}")
