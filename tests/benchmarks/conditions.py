"""How well lines are read in conditions of real pictures: edges, light, paper, pens, and whichever way up.

    python -m tests.benchmarks.conditions

The lines are those of project/test_inputs, `--draws` times in each condition of tests/conditions.py with other random
numbers, read by the base model, or with --model-version by a registered version; best path. With --data, the validation
lines of a data set are read as they are. Prints a table, then one line of JSON: CER as a fraction, and the time of a
line image and of its reading in ms.
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
from tests.conditions import EDGES, LIGHT_AND_PAPER
from tests.rows import read_data_set


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
@click.option("--model-version", default="", help="Number, latest, or alias.")
def main(data: str, lines: int, draws: int, model_version: str) -> None:
    version = registry.find_version(model_version) if model_version else None
    recognizer = registry.load_recognizer(version) if version else Recognizer.load(BASE)
    paths = sorted(TEST_INPUTS.glob("*.png"))
    pictures = [Image.open(path).convert("L") for path in paths]
    texts = [path.with_suffix(".gt.txt").read_text("utf-8").strip() for path in paths]

    figures: dict[str, float] = {}

    def tell(name: str, figure: float) -> None:
        figures[name] = round(figure, 4)
        print(f"{name:20} {figure:8.2%}", flush=True)

    def read(pixels: Sequence[np.ndarray]) -> list[str]:
        return recognizer.read([recognizer.line_image(one) for one in pixels])

    tell("as they are", cer(texts, read([np.asarray(picture) for picture in pictures])))
    for condition in (*EDGES, *LIGHT_AND_PAPER):
        made = [
            grey(condition(picture, np.random.default_rng([draw, number])))
            for draw in range(draws)
            for number, picture in enumerate(pictures)
        ]
        tell(condition.__name__, cer(texts * draws, read(made)))
    for turn in (90, 180, 270):
        tell(f"turned by {turn}", turned(recognizer, pictures, texts, turn))
    if data:
        rows = [row for row in read_data_set(data).itertuples() if row.split == "validation" and row.text]
        chosen = list(islice(rows, 0, None, max(1, len(rows) // lines)))[:lines]
        tell(data, cer([row.text for row in chosen], read([read_image(row.image) for row in chosen])))
    preparing, reading = milliseconds(recognizer, [np.asarray(picture) for picture in pictures])
    print(f"line image {preparing:.2f} ms, reading {reading:.2f} ms (medians)")
    print(json.dumps(figures | {"line_image_ms": round(preparing, 3), "reading_ms": round(reading, 3)}))


if __name__ == "__main__":
    main()
