"""What some pages of one hand teach the base model: CER on other pages of that hand, before and after, and minutes.

    python -m tests.benchmarks.one_hand --data ../shared/data/archives --writer poemes-louise --pages 1,5 --test-pages 5

Trains as `mlflow run . -e train -P data=PAGES -P start_from=base` does, on the first pages, and reads the last
ones with both decoders. The base model must not have been trained on the hand. Prints a row for each number of pages,
then one line of JSON.
"""

import json
import tempfile
import time

import click
import pandas as pd
import torch

from project.data.dataset import load_data
from project.data.rows import of_split
from project.evaluation.scoring import error_rates, evaluate_rows
from project.recognition.decoding import DECODERS
from project.recognition.recognizer import Recognizer
from project.tracking import experiment
from project.tracking.registry import BASE
from project.training import tuning
from project.training.languages import candidates
from project.training.loop import train
from project.training.settings import Settings
from tests.rows import read_rows

VALIDATION = 8  # of so many lines one is of the validation split


def rows_of_hand(data: str, writer: str) -> pd.DataFrame:
    """Read the rows of the one writer whose name contains `writer`, ordered by page."""
    rows = read_rows(data)
    rows = rows[rows["writer"].str.contains(writer, regex=False)]
    if rows["writer"].nunique() != 1:
        raise click.BadParameter(
            f"{writer!r} is in the names of {rows['writer'].nunique()} writers of {data}, not of one"
        )
    if "train" in set(rows["split"]):
        raise click.BadParameter(f"{rows['writer'].iloc[0]} is in the training split, so the base model knows the hand")
    return rows.sort_values(["page", "source"], kind="stable").reset_index(drop=True)


def split_pages(rows: pd.DataFrame, pages: int, test_pages: int) -> pd.DataFrame:
    """Give the first pages to training and validation, the last ones to test, and leave the others out."""
    names = list(dict.fromkeys(rows["page"]))
    if pages + test_pages > len(names):
        raise click.BadParameter(f"{pages} + {test_pages} pages were asked for, and the hand has {len(names)}")
    test = rows[rows["page"].isin(names[-test_pages:])].assign(split="test")
    own = rows[rows["page"].isin(names[:pages])]
    own = own.assign(split=["validation" if row % VALIDATION == 3 else "train" for row in range(len(own))])
    return pd.concat([own, test], ignore_index=True)


def fine_tune(base: Recognizer, table: str, epochs: int, seed: int) -> dict[str, float]:
    """Train on a table of one hand from the base model; returns CER by decoder before and after, and the minutes."""
    started = time.monotonic()
    settings = Settings(seed, epochs, start_from="base", **experiment.settings_of(base))
    data = load_data(table, height=base.height, seed=seed, characters=base.charset.characters)
    network, _ = train(settings, data.charset, data.lines["train"], data.lines["validation"], start=base)
    trained = Recognizer.from_network(network, data.charset, base.height)
    texts = list(of_split(data.rows, "train")["text"])
    choice = [*filter(None, [base.language]), *candidates(texts, {}, data.charset)]
    tuned, _, _ = tuning.tuned(trained, choice, data.lines["validation"])
    figures = {"lines": len(texts), "minutes": round((time.monotonic() - started) / 60, 1)}
    test = of_split(data.rows, "test")
    for name, recognizer in (("before", base), ("after", tuned)):
        for decoder in DECODERS:
            lines, _ = evaluate_rows(recognizer, test, decoder, data.images)
            figures[f"cer_{decoder}_{name}"] = round(error_rates(lines)["cer"], 4)
    return figures


@click.command()
@click.option("--data", required=True, help="A table or a folder of tables with the columns writer and page.")
@click.option("--writer", required=True, help="What is in the name of one writer, and of no other.")
@click.option("--pages", default="1,5", help="Numbers of pages to train on, separated by commas.")
@click.option("--test-pages", default=4, type=click.IntRange(1), help="The last pages, to read.")
@click.option("--epochs", default=10, type=click.IntRange(1))
@click.option("--threads", default=1, type=click.IntRange(1))
@click.option("--seed", default=1, type=click.IntRange(0))
def main(data: str, writer: str, pages: str, test_pages: int, epochs: int, threads: int, seed: int) -> None:
    torch.set_num_threads(threads)
    base, rows = Recognizer.load(BASE), rows_of_hand(data, writer)
    figures = {}
    for count in map(int, pages.split(",")):
        with tempfile.TemporaryDirectory() as folder:
            table = f"{folder}/hand.parquet"
            split_pages(rows, count, test_pages)[["image", "text", "writer", "page", "split"]].to_parquet(table)
            figures[count] = fine_tune(base, table, epochs, seed)
        print(count, "pages:", figures[count], flush=True)
    print(json.dumps(figures))


if __name__ == "__main__":
    main()
