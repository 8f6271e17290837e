"""How fast each decoder is, on one core, and how well it reads.

    taskset -c 0 python -m tests.benchmarks.decoding --data ../shared/data/unipen

With --model-version a registered version is asked, else the base model. Without --data the log-probs are made up,
T = 256 and C = 96: peaked as a trained network's, and flat, which is the worst that can come. fast-ctc-decode takes
part where it is installed; it knows no n-gram. Prints a table, then one line of JSON; times are CPU time, the median of
`--runs`, in ms a line.
"""

import importlib.util
import json
import statistics
import string
import time
from collections.abc import Callable, Sequence

import click
import numpy as np

from project.data.rows import of_split
from project.data.texts import line_texts
from project.evaluation.metrics import cer
from project.recognition.charset import BLANK, Charset
from project.recognition.decoding import LanguageModel, LanguageModels, best_path, n_best
from project.recognition.image import read_image
from project.recognition.ngram import NGram
from project.recognition.recognizer import Recognizer
from project.tracking import registry
from project.tracking.registry import BASE
from tests.rows import read_data_set

FRAMES = 256
CHARSET = Charset(string.printable[:95])
LINES = 20  # that are made up


def flat(rng: np.random.Generator) -> np.ndarray:
    """Log-probs (T, C) of a network that knows nothing."""
    return np.log(rng.dirichlet(np.ones(len(CHARSET)), FRAMES))


def peaked(rng: np.random.Generator) -> np.ndarray:
    """Log-probs (T, C) of a sure blank, with a character in every fourth frame or so that has a few rivals."""
    probabilities = np.full((FRAMES, len(CHARSET)), 1e-6)
    probabilities[:, BLANK] = 1
    for frame in np.flatnonzero(rng.random(FRAMES) < 0.25):
        rivals = rng.choice(np.arange(1, len(CHARSET)), 8, replace=False)
        probabilities[frame, rivals] += 2 * rng.dirichlet(np.full(8, 0.3))
    return np.log(probabilities / probabilities.sum(axis=1, keepdims=True))


def decoders(charset: Charset, language: LanguageModel | LanguageModels) -> dict[str, Callable[[np.ndarray], str]]:
    """By name, what makes text from log-probs (T, C)."""

    def beam(width: int, model: LanguageModel | LanguageModels | None) -> Callable[[np.ndarray], str]:
        return lambda log_probs: charset.decode(n_best(log_probs, "beam", model, width, 0)[0][0])

    named: dict[str, Callable[[np.ndarray], str]] = {"best_path": lambda one: charset.decode(best_path(one))}
    for width in (5, 25):
        named |= {f"beam_{width}": beam(width, None), f"beam_{width}_ngram": beam(width, language)}
    if importlib.util.find_spec("fast_ctc_decode"):
        import fast_ctc_decode

        alphabet = ["", *charset.characters]
        for width in (5, 25):
            named[f"fast_ctc_decode_{width}"] = lambda one, width=width: fast_ctc_decode.beam_search(
                np.exp(one, dtype=np.float32), alphabet, beam_size=width, beam_cut_threshold=1e-4
            )[0]
    return named


def timed(decoder: Callable[[np.ndarray], str], lines: Sequence[np.ndarray], runs: int) -> tuple[float, list[str]]:
    """Median ms a line, and what was read."""
    seconds = []
    for _ in range(runs):
        started = time.process_time()
        texts = [decoder(line) for line in lines]
        seconds.append(time.process_time() - started)
    return 1000 * statistics.median(seconds) / len(lines), texts


@click.command()
@click.option("--data", default="", help="As in project/docs/data.md; its test split is read.")
@click.option("--model-version", default="", help="Number, latest, or alias.")
@click.option("--lines", default=100, type=click.IntRange(1), help="At most, of --data.")
@click.option("--runs", default=3, type=click.IntRange(1))
def main(data: str, model_version: str, lines: int, runs: int) -> None:
    rng = np.random.default_rng(0)
    references: list[str] = []
    if data:
        version = registry.find_version(model_version) if model_version else None
        recognizer = registry.load_recognizer(version) if version else Recognizer.load(BASE)
        rows = read_data_set(data)
        rows = of_split(rows, "test").iloc[:lines]
        references = list(rows["text"])
        images = [recognizer.line_image(read_image(picture)) for picture in rows["image"]]
        sets = {"lines": recognizer.log_probs(images)}
        charset, language = recognizer.charset, recognizer.language
    else:
        sets = {make.__name__: [make(rng) for _ in range(LINES)] for make in (peaked, flat)}
        charset, language = CHARSET, None
    language = language or LanguageModel(NGram.from_texts(line_texts("train", 4000, 1), charset, 5), 0.5, 1.5)

    figures: dict[str, float] = {}
    print(f"{'log-probs':10} {'decoder':20} {'ms a line':>10} {'CER':>8}")
    for kind, log_probs in sets.items():
        for name, decoder in decoders(charset, language).items():
            figures[f"{kind}_{name}_ms"], texts = timed(decoder, log_probs, runs)
            if references:
                figures[f"{kind}_{name}_cer"] = cer(references, texts)
            rate = f"{figures[f'{kind}_{name}_cer']:.2%}" if references else ""
            print(f"{kind:10} {name:20} {figures[f'{kind}_{name}_ms']:10.2f} {rate:>8}", flush=True)
    print(json.dumps({name: round(figure, 4) for name, figure in figures.items()}))


if __name__ == "__main__":
    main()
