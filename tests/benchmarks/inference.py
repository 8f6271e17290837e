"""How fast the recogniser reads: the whole path from the bytes of a picture to text, and the network alone.

    python -m tests.benchmarks.inference --data ../shared/data/bench-synthetic --threads 2

With --model-version a registered version is measured, else a network of the default size with random weights: speed
does not depend on them. Prints a table, then one line of JSON.
"""

import json
import resource
import time

import click
import torch

from project import dataset, registry
from project.charset import Charset
from project.crnn import CRNN
from project.images import read_picture
from project.recognizer import Recognizer
from project.training import Settings


@click.command()
@click.option("--data", required=True, help="A data set as in project/dataset.py; its test split is read.")
@click.option("--threads", default=2, type=click.IntRange(1))
@click.option("--lines", default=200, type=click.IntRange(1))
@click.option("--model-version", default="")
def main(data: str, threads: int, lines: int, model_version: str) -> None:
    torch.set_num_threads(threads)
    rows = dataset.read_data_set(data)
    pictures = list(rows.loc[rows["split"] == "test", "image"])[:lines]
    if model_version:
        recognizer = Recognizer.from_registry(registry.find_version(model_version))
    else:
        settings, charset = Settings(), Charset.from_texts(rows["text"])
        network = CRNN(len(charset), settings.width, settings.hidden, settings.layers).eval()
        recognizer = Recognizer.of(network, charset, settings.height)

    def read(some: list) -> None:
        recognizer.read([recognizer.line_image(read_picture(picture)) for picture in some])

    line_images = [recognizer.line_image(read_picture(picture)) for picture in pictures]
    figures: dict[str, float] = {"lines": len(pictures)}
    print(f"{'':24}{'batch':>6}{'lines/s':>10}{'ms a line':>11}")
    for size in (1, 16):
        for name, step, inputs in (("picture_to_text", read, pictures), ("network", recognizer.log_probs, line_images)):
            step(inputs[:size])
            started = time.perf_counter()
            for start in range(0, len(inputs), size):
                step(inputs[start : start + size])
            rate = len(inputs) / (time.perf_counter() - started)
            figures[f"{name}_{size}_lines_per_s"] = round(rate, 1)
            print(f"{name:24}{size:6}{rate:10.1f}{1000 / rate:11.1f}")
    figures["peak_rss_mb"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
    print(json.dumps(figures))


if __name__ == "__main__":
    main()
