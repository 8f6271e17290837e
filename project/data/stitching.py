"""The data set `stitched:TABLE`: pictures of single words, put together to lines of one writer."""

import hashlib
from pathlib import Path

import numpy as np
import pandas as pd
from PIL import Image

from project.atomic import cache_home, cached_folder
from project.data.rows import Row, read_row
from project.data.sources import stream_rows
from project.data.tables import drawn_row, write_drawn
from project.errors import InputError

ASCENDING = set("bdfhklt0123456789!?'\"()[]{}/|&%$#@£ßÄÖÜ") | set("ABCDEFGHIJKLMNOPQRSTUVWXYZ")
DESCENDING = set("gjpqyQ()[]{}/|$@;,")
NO_SIZE = set(".,-_'\"`~:;^*=+")  # a picture of these alone does not tell how large they were written
ASCENDER, DESCENDER = 0.95, 0.8  # in heights of an x
FEWEST, MOST = 3, 8  # words of a line
MOST_OF_ONE = 250  # words: a writer of more is drawn no more often


def stitch(table: str, folder: str | Path | None, lines: int, seed: int) -> Path:
    """Write `train.parquet` with so many lines, of words that one writer wrote; returns its folder, at once if it was
    made before.

    table: a data set of single words with their writers (see `sources`); only its training rows are used. folder: as in
    `synthetic.synthesize`. InputError if no writer has enough words.
    """
    words = pd.DataFrame(list(stream_rows(table)), columns=Row._fields)
    words = words[words["split"].isin(["train", ""]) & (words["writer"] != "")]
    words = words[[bool(set(text) - NO_SIZE) and " " not in text for text in words["text"]]]
    by_writer = {writer: own for writer, own in words.groupby("writer") if len(own) >= MOST}
    if not by_writer:
        raise InputError(f"stitched: {table} has no writer with {MOST} words or more in its training split")
    digest = hashlib.sha256(repr((lines, seed, sorted(by_writer), len(words))).encode() + Path(__file__).read_bytes())
    digest.update("".join(words["text"]).encode())

    def make(beside: Path) -> None:
        rng = np.random.default_rng(seed)
        writers = sorted(by_writer)
        shares = np.array([min(len(by_writer[writer]), MOST_OF_ONE) for writer in writers], float)
        rows = []
        for writer in rng.choice(writers, lines, p=shares / shares.sum()).tolist():
            own = by_writer[writer].sample(int(rng.integers(FEWEST, MOST + 1)), random_state=rng)
            picture = join_words([read_row(row) for row in own.itertuples()], list(own["text"]), rng)
            rows.append(drawn_row(picture, " ".join(own["text"]), writer, "train"))
        write_drawn(rows, beside / "train.parquet")

    folder = Path(folder or cache_home())
    return cached_folder(folder / f"stitched-{digest.hexdigest()[:16]}", make)


def join_words(pictures: list[np.ndarray], texts: list[str], rng: np.random.Generator) -> np.ndarray:
    """Put word pictures, each uint8 (H, W) and cut to its ink, on one baseline: uint8 (H, W).

    Each is as large as its letters ask: a word of small letters alone fills its picture as one with ascenders does.
    """
    x_height = rng.uniform(15, 22)  # px
    words, baselines = zip(
        *(sized(picture, text, x_height, rng) for picture, text in zip(pictures, texts, strict=True)), strict=True
    )
    gap = rng.uniform(0.7, 1.6) * x_height
    gaps = np.maximum(4, np.rint(gap * rng.normal(1, 0.2, len(words)))).astype(int)
    widths = np.array([word.shape[1] for word in words])
    margin = int(rng.integers(4, 14))  # px
    lefts = margin + np.cumsum(widths + gaps) - widths - gaps
    climb, middle = rng.normal(0, 0.02), lefts.mean()
    jitter = rng.normal(0, 0.07 * x_height, len(words))
    tops = climb * (lefts - middle) + jitter - np.array(baselines)
    tops = np.rint(tops - np.min(tops)).astype(int) + margin // 2
    height = max(top + len(word) for top, word in zip(tops, words, strict=True)) + margin // 2
    line = np.full((height, int(lefts[-1] + widths[-1] + margin)), 255, np.uint8)
    for word, top, left in zip(words, tops, lefts, strict=True):
        place = line[top : top + len(word), left : left + word.shape[1]]
        np.minimum(place, word, out=place)
    return line


def sized(picture: np.ndarray, text: str, x_height: float, rng: np.random.Generator) -> tuple[np.ndarray, int]:
    """Scale a word so that its small letters are about `x_height` px high; returns it and the row of its baseline."""
    above = 1 + ASCENDER * bool(set(text) & ASCENDING)
    below = DESCENDER * bool(set(text) & DESCENDING)
    height = max(6, round(x_height * (above + below) * rng.normal(1, 0.06)))
    width = max(4, round(picture.shape[1] * height / picture.shape[0]))
    scaled = Image.fromarray(picture).resize((width, height), Image.Resampling.LANCZOS)
    return np.asarray(scaled), round(height * above / (above + below))
