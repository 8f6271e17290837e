"""Data sets with their pictures in memory, as only tests and benchmarks may have them."""

from pathlib import Path

import pandas as pd

from project.data.rows import Row
from project.data.sources import scan, stream_rows


def read_rows(data: str | Path) -> pd.DataFrame:
    """Return the rows of a data set as they are: a column for each field of `Row`; `split` may be ""."""
    return pd.DataFrame(list(stream_rows(data)), columns=Row._fields)


def read_data_set(*data: str | Path, seed: int = 0) -> pd.DataFrame:
    """Return what `scan` does, with the pictures: a column `image` in place of `fingerprint`."""
    images = [image for one in data for image in read_rows(one)["image"]]
    rows = scan(*data, seed=seed)
    rows.insert(0, "image", images)
    return rows.drop(columns="fingerprint")
