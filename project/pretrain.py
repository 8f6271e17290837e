"""Entry point `pretrain`: train the base model that comes with the project, on real and synthetic hands together."""

import string
from pathlib import Path

import click
import pandas as pd

from project import entry_point, experiment
from project.evaluate import error_rates
from project.files import replaced
from project.recognizer import Recognizer
from project.training import Settings

ASCII = string.ascii_letters + string.digits + string.punctuation + " "
FRENCH = "àâäæçèéêëîïôöœùûüÿÀÂÄÆÇÈÉÊËÎÏÔÖŒÙÛÜŸ«»’€°"
FIGURES = "## What it reads\n"  # the card from here on is written by this entry point


def figures_by_set(lines: pd.DataFrame) -> pd.DataFrame:
    """CER and WER of the test lines, a row for each table that they come from. lines: see `evaluate.compare`."""
    table = lines["source"].str.rpartition(":")[0].str.split("/").str[-2]
    return pd.DataFrame(
        {"data set": name, "split": "test", "lines": len(own), **error_rates(own)} for name, own in lines.groupby(table)
    ).round(4)


@click.command()
@click.option("--data", required=True, help="Tables or folders, separated by commas; `synthetic` is one of them.")
@click.option("--synthetic-lines", required=True, type=click.IntRange(10))
@click.option("--minutes", required=True, type=click.FloatRange(min=0, min_open=True))
@click.option("--seed", required=True, type=click.IntRange(0))
@click.option("--output", required=True, type=click.Path(exists=True, file_okay=False), help="Gets the model's files.")
def main(data: str, synthetic_lines: int, minutes: float, seed: int, output: str) -> None:
    entry_point.leave_run()
    settings = Settings(seed=seed, epochs=1000, patience=1000, minutes=minutes, learning_rate=4e-3)
    data_set = experiment.load_data(
        *data.split(","), height=settings.height, seed=seed,
        synthetic_lines={"train": synthetic_lines}, characters=ASCII + FRENCH,
    )  # fmt: skip
    run = experiment.run("base", "How well does one model read many hands, English and French?", settings, data_set)
    Recognizer.from_registry(run.version).save(output)

    figures = figures_by_set(run.test_lines)
    print(figures.to_string(index=False))
    card = Path(output, "README.md")
    head = card.read_text("utf-8").partition(FIGURES)[0] if card.exists() else ""
    with replaced(card) as beside:
        beside.write_text(f"{head}{FIGURES}\n{figures.to_markdown(index=False)}\n", "utf-8")
    experiment.let_go([run])


if __name__ == "__main__":
    entry_point.run("pretrain", main)
