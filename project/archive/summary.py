"""What an archive's parts hold: counts, confidences, and lines that are worth correcting."""

from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from project.archive.transcription import SCHEMA, keys, table_of

BINS = 20  # of the histogram of confidence
LISTED = 1000  # bad pictures that a summary names; the table has them all


@dataclass(frozen=True)
class Summary:
    """What the parts hold. The mean and the histogram (BINS,), from 0 to 1, are of the confidence of what was read;
    `bad`, `least_certain`, `by_chance` and `by_page` are rows.
    """

    lines: int
    bad_pictures: int
    mean_confidence: float
    histogram: np.ndarray
    bad: pd.DataFrame
    least_certain: pd.DataFrame
    by_chance: pd.DataFrame
    by_page: pd.DataFrame  # all lines of the pages that are the least certain in the mean


def summarize(parts: Path, chosen: int, exclude: Collection[str] = ()) -> Summary:
    """Count what the parts hold, and choose so many of its lines, but for those in some places (see `places`).

    Chosen are the least certain lines, as many by chance, which are the same each time, and whole pages until there
    are as many.
    """
    lines = bad_lines = 0
    read_lines, total, histogram = 0, 0.0, np.zeros(BINS, dtype=int)
    bad = least = by_chance = by_page = SCHEMA.empty_table().to_pandas()
    for batch in table_of(parts).to_batches():
        table = batch.to_pandas()
        failed = table["error"].notna()
        read_ones = table[table["confidence"].notna()]
        lines, bad_lines, read_lines = lines + len(table), bad_lines + failed.sum(), read_lines + len(read_ones)
        total += read_ones["confidence"].sum()
        histogram += np.histogram(read_ones["confidence"], BINS, (0, 1))[0]
        bad = pd.concat([bad, table[failed]]).head(LISTED)
        candidates = read_ones[~places(read_ones).isin(exclude)]
        least = pd.concat([least, candidates]).nsmallest(chosen, "confidence")
        by_chance = pd.concat([by_chance, candidates])
        by_chance = by_chance.iloc[keys(places(by_chance)).argsort()[:chosen]]
        by_page = least_certain_pages(pd.concat([by_page, candidates[candidates["line"].notna()]]), chosen)
    mean = total / max(1, read_lines)
    return Summary(lines, int(bad_lines), mean, histogram, bad, least, by_chance, by_page)


def places(lines: pd.DataFrame) -> pd.Series:
    """Return where each line is: its picture's source, or for a page "source#line"."""
    of_page = lines["line"].notna()
    return lines["source"].where(~of_page, lines["source"] + "#" + lines["line"].astype("Int64").astype("string"))


def least_certain_pages(lines: pd.DataFrame, chosen: int) -> pd.DataFrame:
    """Return the lines of whole pages, those of the least mean confidence first, until there are enough lines."""
    lines = lines.assign(mean=lines.groupby("source")["confidence"].transform("mean"))
    lines = lines.sort_values(["mean", "source", "line"], ignore_index=True).drop(columns="mean")
    first = np.flatnonzero(~lines["source"].duplicated())  # of each page
    return lines[lines["source"].isin(lines["source"].iloc[first[first < chosen]])]
