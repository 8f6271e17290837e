"""How well lines are read in conditions of real pictures: edges, light, paper, pens, and whichever way up.

    python -m tests.benchmarks.conditions

The lines are those of project/test_inputs, `--draws` times in each condition of tests/conditions.py with other random
numbers, read by the base model, or with --model-version by a registered version; best path. With --data, the validation
lines of a data set are read as they are, and the share of them whose turn is told right is counted, upright and upside
down. Prints a table with a column for each of `--sizes`: times 3, the pictures were three times as large when the
condition befell them; along 3, they were scaled afterwards, specks and dots with them. Then one line of JSON: CER as a
fraction, and the time of a line image and of its reading in ms.
"""

import json
import statistics
import time
from collections.abc import Sequence
from itertools import islice

import click
import numpy as np
from PIL import Image

from project.evaluation.metrics import cer
from project.recognition.image import grey, read_image
from project.recognition.recognizer import Recognizer
from project.recognition.turns import transcribe_views, views
from project.tracking import registry
from project.tracking.registry import BASE, TEST_INPUTS
from tests.conditions import EDGES, LIGHT_AND_PAPER, at_size, resized
from tests.rows import read_data_set


def as_it_is(picture: Image.Image, rng: np.random.Generator) -> Image.Image:
    return picture


def turned(recognizer: Recognizer, pictures: Sequence[Image.Image], texts: Sequence[str], turn: int) -> float:
    """CER of pictures that lie `turn` degrees on their side, anticlockwise."""
    pixels = [np.ascontiguousarray(np.rot90(np.asarray(picture), turn // 90)) for picture in pictures]
    read = transcribe_views(recognizer, [views(one, recognizer.height) for one in pixels])
    return cer(texts, [reading.text for reading, _ in read])


def milliseconds(recognizer: Recognizer, pixels: Sequence[np.ndarray]) -> tuple[float, float]:
    """Median time of a line image, and of its reading."""
    preparing, reading = [], []
    for one in pixels:
        start = time.perf_counter()
        line_image = recognizer.line_image(one)
        middle = time.perf_counter()
        recognizer.read([line_image])
        preparing.append(1000 * (middle - start))
        reading.append(1000 * (time.perf_counter() - middle))
    return statistics.median(preparing), statistics.median(reading)


@click.command()
@click.option("--data", default="", help="As in project/docs/data.md; its validation split is read as it is.")
@click.option("--lines", default=300, type=click.IntRange(1), help="At most, of --data.")
@click.option("--draws", default=2, type=click.IntRange(1))
@click.option("--sizes", default="0.6,1,2,3", help="Of the pictures, times their own; commas between.")
@click.option("--model-version", default="", help="Number, latest, or alias.")
def main(data: str, lines: int, draws: int, sizes: str, model_version: str) -> None:
    version = registry.find_version(model_version) if model_version else None
    recognizer = registry.load_recognizer(version) if version else Recognizer.load(BASE)
    paths = sorted(TEST_INPUTS.glob("*.png"))
    pictures = [Image.open(path).convert("L") for path in paths]
    texts = [path.with_suffix(".gt.txt").read_text("utf-8").strip() for path in paths]

    columns = {
        f"{'along' if along else 'times'} {size:g}": (size, along)
        for size in map(float, sizes.split(","))
        for along in ((False,) if size == 1 else (False, True))
    }
    figures: dict[str, dict[str, float]] = {}

    def tell(name: str, shares: Sequence[float], headings: Sequence[str] = tuple(columns)) -> None:
        figures[name] = {heading: round(share, 4) for heading, share in zip(headings, shares, strict=True)}
        print(f"{name:20}" + "".join(f"{share:9.2%}" for share in shares), flush=True)

    def read(pixels: Sequence[np.ndarray]) -> list[str]:
        return recognizer.read([recognizer.line_image(one) for one in pixels])

    print(f"{'':20}" + "".join(f"{column:>9}" for column in columns))
    for condition in (as_it_is, *EDGES, *LIGHT_AND_PAPER):
        errors = []
        for size, along in columns.values():
            there = at_size(condition, size, along)
            made = [
                grey(there(picture, np.random.default_rng([draw, number])))
                for draw in range(draws)
                for number, picture in enumerate(pictures)
            ]
            errors.append(cer(texts * draws, read(made)))
        tell(condition.__name__, errors)
    for turn in (90, 180, 270):
        there = [
            turned(recognizer, [resized(one, size) for one in pictures], texts, turn) for size, _ in columns.values()
        ]
        tell(f"turned by {turn}", there)
    if data:
        rows = [row for row in read_data_set(data).itertuples() if row.split == "validation" and row.text]
        chosen = list(islice(rows, 0, None, max(1, len(rows) // lines)))[:lines]
        pixels = [read_image(row.image) for row in chosen]
        shares = [cer([row.text for row in chosen], read(pixels))]
        for turn in (0, 180):
            lines_as_read = [
                views(np.ascontiguousarray(np.rot90(one, turn // 90)), recognizer.height) for one in pixels
            ]
            shares.append(
                float(np.mean([view.turn == turn for _, view in transcribe_views(recognizer, lines_as_read)]))
            )
        tell(data, shares, ("as they are", "upright told", "upside down told"))
    preparing, reading = milliseconds(recognizer, [np.asarray(picture) for picture in pictures])
    print(f"line image {preparing:.2f} ms, reading {reading:.2f} ms (medians)")
    print(json.dumps({**figures, "line_image_ms": round(preparing, 3), "reading_ms": round(reading, 3)}))


if __name__ == "__main__":
    main()
