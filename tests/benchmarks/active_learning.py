"""What corrected lines are worth: the CER after training on 50, 200, 1000 of them, by how they were chosen.

    python -m tests.benchmarks.active_learning --data ../shared/data/copiste --start started --epochs 20 --threads 2

--start is a folder with the files of a recogniser (such as `mlflow run . -e pretrain` writes) that has never seen the
data set. It reads the training split, as `transcribe` does; so many of its lines are then "corrected", that is, given
their true texts, and training goes on with these alone, a tenth of them held out to choose the epoch. CER is of the
test split. Prints a table, then one line of JSON.
"""

import json
from collections.abc import Callable

import click
import numpy as np
import pandas as pd
import torch
from tqdm import tqdm

from project.archive import transcription
from project.data.dataset import usable_lines
from project.data.line_cache import LineImages, line_images
from project.data.rows import Row, batched, of_split
from project.data.splits import fingerprint
from project.evaluation.scoring import error_rates, evaluate_rows
from project.recognition.charset import Charset
from project.recognition.recognizer import CHUNK_LINES, Recognizer
from project.training.loop import train
from project.training.settings import FINE_TUNING_RATE, Settings
from tests.rows import read_data_set

# How the lines are ranked, the first to be corrected first. lines: `text` as it was read, and `confidence`
CHOICES: dict[str, Callable[[pd.DataFrame, np.random.Generator], np.ndarray]] = {
    "by chance": lambda lines, rng: rng.permutation(len(lines)),
    "least certain": lambda lines, rng: np.argsort(lines["confidence"]),
}


def read(recognizer: Recognizer, rows: pd.DataFrame) -> pd.DataFrame:
    """What `transcribe` writes of these rows, in their order."""
    read_now = (Row(*row) for row in rows[list(Row._fields)].itertuples(index=False))
    pictures = (transcription.Picture(row, "", False) for row in tqdm(read_now, total=len(rows), leave=False))
    chunks = batched(pictures, CHUNK_LINES)
    tables = [transcription.read(recognizer, chunk, 0, "line").to_pandas() for chunk in chunks]
    return pd.concat(tables, ignore_index=True)


def train_on(start: Recognizer, corrected: pd.DataFrame, images: LineImages, epochs: int, seed: int) -> Recognizer:
    """The recogniser after it has learned from these rows, as `mlflow run . -P start_from=...` would make it.

    images: the line images of the data set, by the rows' index.
    """
    held_out = max(1, len(corrected) // 10)
    charset = Charset.from_texts([*corrected["text"], start.charset.characters])
    validation, _ = usable_lines("validation", corrected[:held_out], images, charset)
    training, _ = usable_lines("train", corrected[held_out:], images, charset)
    settings = Settings(seed=seed, epochs=epochs, patience=epochs, learning_rate=FINE_TUNING_RATE, **start.shape)
    network, _ = train(settings, charset, training, validation, start=start)
    return Recognizer.from_network(network, charset, start.height)


@click.command()
@click.option("--data", required=True, help="A data set as in project/docs/data.md, with the splits train and test.")
@click.option("--start", required=True, type=click.Path(exists=True, file_okay=False))
@click.option("--lines", default="50,200,1000", help="How many are corrected, separated by commas.")
@click.option("--epochs", default=20, type=click.IntRange(1))
@click.option("--seed", default=1, type=click.IntRange(0))
@click.option("--threads", default=2, type=click.IntRange(1))
def main(data: str, start: str, lines: str, epochs: int, seed: int, threads: int) -> None:
    torch.set_num_threads(threads)
    rows, recognizer = read_data_set(data), Recognizer.load(start)
    pool, test = (of_split(rows, split).reset_index(drop=True) for split in ("train", "test"))
    images = line_images(map(Row, pool["image"], pool["text"]), pool["image"].map(fingerprint), recognizer.height)
    readings = read(recognizer, pool)
    pool, readings = pool[readings["error"].isna()], readings[readings["error"].isna()]
    print(f"{'corrected':>9}  {'chosen':26}{'characters':>10}{'test CER':>10}")
    before = error_rates(evaluate_rows(recognizer, test)[0])["cer"]
    print(f"{0:9}  {'':26}{0:10}{before:10.2%}", flush=True)
    figures = {"lines": len(test), "cer_0": round(before, 4)}
    for number in map(int, lines.split(",")):
        for name, choose in CHOICES.items():
            chosen = np.asarray(choose(readings, np.random.default_rng(seed)))[:number]
            corrected = pool.iloc[np.random.default_rng(seed).permutation(chosen)]
            after = error_rates(evaluate_rows(train_on(recognizer, corrected, images, epochs, seed), test)[0])["cer"]
            print(f"{number:9}  {name:26}{corrected['text'].str.len().sum():10}{after:10.2%}", flush=True)
            figures[f"cer_{number}_{name.replace(' ', '_')}"] = round(after, 4)
    print(json.dumps(figures))


if __name__ == "__main__":
    main()
