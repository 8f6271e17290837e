"""How well the recogniser reads a data set after so many minutes of training, and how fast it trains.

    python -m tests.benchmarks.training --data ../shared/data/bench-synthetic --minutes 8 --threads 2

Prints a row an epoch, then one line of JSON: CER of the validation and the test split (best path), lines a second
over the whole training without validation, and the peak memory of the process. Several processes train together with

    torchrun --standalone --nproc-per-node 2 -m tests.benchmarks.training --data ... --threads 1
"""

import json
import math
import resource
import statistics

import click
import torch

from project.data.dataset import load_data
from project.training import parallel
from project.training.loop import train, training_device, validate
from project.training.settings import Settings


def run(data: str, minutes: float, epochs: int, threads: int, seed: int) -> None:
    torch.set_num_threads(threads)
    settings = Settings(seed=seed, epochs=epochs, minutes=minutes, patience=epochs).on(training_device())
    prepared = load_data(data, height=settings.height, seed=seed)
    lines = prepared.lines

    columns = ("train_loss", "val_loss", "val_cer", "val_wer", "train_lines_per_s")
    if parallel.rank() == 0:
        print("epoch", *(f"{column:>17}" for column in columns))

    def show(epoch: int, figures: dict[str, float], predictions: list[str]) -> None:
        print(f"{epoch:5}", *(f"{figures[column]:17.4f}" for column in columns), flush=True)

    network, history = train(settings, prepared.charset, lines["train"], lines["validation"], show)
    test = validate(network, prepared.charset, lines["test"], settings.batch_width)
    figures = {
        "train_lines_per_s": lines_per_s(history),
        "val_cer": round(min(figures["val_cer"] for figures in history), 4),
        "test_cer": round(test.metrics["val_cer"], 4),
        "peak_rss_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024,
        "epochs": len(history),
    }
    if parallel.rank() == 0:
        print(json.dumps(figures))


def lines_per_s(history: list[dict[str, float]]) -> float:
    """Of the whole training, from those of its epochs, which have as many lines each."""
    return round(statistics.harmonic_mean(figures["train_lines_per_s"] for figures in history), 1)


@click.command()
@click.option("--data", required=True, help="A data set as in project/docs/data.md, or synthetic.")
@click.option("--minutes", default=math.inf, type=click.FloatRange(min=0, min_open=True))
@click.option("--epochs", default=10_000, type=click.IntRange(1))
@click.option("--threads", default=2, type=click.IntRange(1))
@click.option("--seed", default=1, type=click.IntRange(0))
def main(data: str, minutes: float, epochs: int, threads: int, seed: int) -> None:
    with parallel.process_group():
        run(data, minutes, epochs, threads, seed)


if __name__ == "__main__":
    main()
