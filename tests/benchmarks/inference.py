"""How fast a model reads, from how much memory, engine by engine: the whole path from the bytes of a picture to text,
and the network alone, one line at a time and 16 at a time.

    python -m tests.benchmarks.inference --data ../shared/data/bench-synthetic --threads 2

`onnxruntime` is what the project reads with (`recognition.onnx_engine`), `torch` is the network as it was trained, and
`openvino` takes part where it is installed. Each engine and batch size has a process of its own: `peak MB` is that
process's, `ready` the seconds from its start to its first answer. `differs` is the largest difference of a log-prob
from torch's with twice the digits (float64), over the same batches. Prints a table, then one line of JSON;
`lines_per_s` in it is that of the whole path, 16 lines at a time, with the project's own engine.
"""

import importlib.util
import itertools
import json
import math
import os
import re
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path

import click
import numpy as np
import psutil

from project.data.rows import of_split
from project.recognition import onnx_engine
from project.recognition.batch import FRAME_WIDTH
from project.recognition.image import read_image
from project.recognition.recognizer import Recognizer
from project.tracking import registry
from project.tracking.registry import BASE
from tests.rows import read_data_set

ROUNDS = 3  # the fastest counts: other processes can only make it slower
COLUMNS = ("picture_to_text_lines_per_s", "network_lines_per_s", "peak_rss_mb", "ready_s", "differs")


class Torch:
    """Eager PyTorch, in the place of an ONNX Runtime session."""

    def __init__(self, recognizer: Recognizer, exact: bool = False):
        import torch

        torch.set_num_threads(onnx_engine.threads())
        self.torch, self.exact = torch, exact
        self.network = recognizer.network.double() if exact else recognizer.network

    def run(self, _: None, feeds: dict[str, np.ndarray]) -> list[np.ndarray]:
        with self.torch.inference_mode():
            images, input_lengths = map(self.torch.from_numpy, feeds.values())
            images = images.double() if self.exact else images
            features, _ = self.network.features(images, FRAME_WIDTH * input_lengths)
            return [self.network.log_probs(features, input_lengths).numpy()]


class OpenVino:
    """OpenVINO, in the place of an ONNX Runtime session, with the same graph."""

    def __init__(self, recognizer: Recognizer):
        import openvino

        settings = {"INFERENCE_NUM_THREADS": onnx_engine.threads(), "INFERENCE_PRECISION_HINT": "f32"}
        model = openvino.Core().read_model(onnx_engine.onnx_model(recognizer.weights).SerializeToString())
        self.request = openvino.compile_model(model, "CPU", settings).create_infer_request()

    def run(self, _: None, feeds: dict[str, np.ndarray]) -> list[np.ndarray]:
        return [self.request.infer(feeds)[0].copy()]


ENGINES = {"onnxruntime": None, "torch": Torch, "openvino": OpenVino}


def measure(engine: str, data: str, lines: int, size: int, model_version: str) -> dict[str, float]:
    """The figures of one engine, `size` lines at a time; to be called in a process of its own, once."""
    rows = read_data_set(data)
    pictures = list(of_split(rows, "test")["image"])[:lines]
    version = registry.find_version(model_version) if model_version else None
    recognizer = registry.load_recognizer(version) if version else Recognizer.load(BASE)
    if ENGINES[engine]:
        vars(recognizer)["session"] = ENGINES[engine](recognizer)

    def read(some: list) -> list[str]:
        return recognizer.read([recognizer.line_image(read_image(picture)) for picture in some])

    read(pictures[:1])
    ready = time.time() - psutil.Process().create_time()
    line_images = [recognizer.line_image(read_image(picture)) for picture in pictures]
    figures = {
        "picture_to_text_lines_per_s": rate(read, pictures, size),
        "network_lines_per_s": rate(recognizer.log_probs, line_images, size),
        "peak_rss_mb": peak_rss_mb(),
        "ready_s": round(ready, 1),
    }
    answers = recognizer.log_probs(line_images[:size])
    vars(recognizer)["session"] = Torch(recognizer, exact=True)
    expected = recognizer.log_probs(line_images[:size])
    return figures | {"differs": max(float(np.abs(a - b).max()) for a, b in zip(answers, expected, strict=True))}


def peak_rss_mb() -> int:
    """The most memory that this process has held; `getrusage` would count what the starting process held too."""
    return int(re.search(r"VmHWM:\s+(\d+) kB", Path("/proc/self/status").read_text())[1]) // 1024


def rate(step: Callable[[list], list], inputs: list, size: int) -> float:
    """Lines a second of `step` on `inputs`, `size` at a time."""
    fastest = math.inf
    for _ in range(ROUNDS):
        started = time.perf_counter()
        for start in range(0, len(inputs), size):
            step(inputs[start : start + size])
        fastest = min(fastest, time.perf_counter() - started)
    return round(len(inputs) / fastest, 1)


@click.command()
@click.option("--data", required=True, help="A data set as in project/docs/data.md; its test split is read.")
@click.option("--threads", default=2, type=click.IntRange(1))
@click.option("--lines", default=200, type=click.IntRange(1))
@click.option("--engine", "engines", multiple=True, type=click.Choice(list(ENGINES)), help="Only these.")
@click.option("--model-version", default="", help="Number, latest, or alias; else the base model.")
def main(data: str, threads: int, lines: int, engines: tuple[str, ...], model_version: str) -> None:
    os.environ["OMP_NUM_THREADS"] = str(threads)
    figures: dict[str, float] = {"lines": lines, "threads": threads}
    print(f"{'engine':12} batch", *(f"{column.replace('_lines_per_s', ' lines/s'):>23}" for column in COLUMNS))
    installed = [engine for engine in ENGINES if importlib.util.find_spec(engine)]
    for engine, size in itertools.product(engines or installed, (1, 16)):
        with ProcessPoolExecutor(1, get_context("spawn")) as process:
            row = process.submit(measure, engine, data, lines, size, model_version).result()
        print(f"{engine:12}{size:6}", *(f"{row[column]:23.6g}" for column in COLUMNS), flush=True)
        figures |= {f"{engine}_{size}_{column}": figure for column, figure in row.items()}
    figures["lines_per_s"] = figures["onnxruntime_16_picture_to_text_lines_per_s"]
    figures["peak_rss_mb"] = figures["onnxruntime_16_peak_rss_mb"]
    print(json.dumps(figures))


if __name__ == "__main__":
    main()
