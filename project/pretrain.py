"""Command `pretrain`: train the base model that comes with the project, on real and synthetic hands together."""

import string
from pathlib import Path

import click
import pandas as pd

from project import cli
from project.atomic import replaced
from project.data import sources
from project.data.dataset import Data, load_data
from project.data.rows import of_split
from project.evaluation.scoring import calibration_errors, error_rates, evaluate_rows
from project.recognition.decoding import DECODERS
from project.recognition.recognizer import Recognizer
from project.tracking import experiment, registry
from project.training.settings import Settings

ASCII = string.ascii_letters + string.digits + string.punctuation + " "
FRENCH = "àâäæçèéêëîïôöœùûüÿÀÂÄÆÇÈÉÊËÎÏÔÖŒÙÛÜŸ«»’€°"
SHAPE = {"height": 36, "channels": 128, "lstm_units": 128, "lstm_layers": 2}  # finer pictures than by default
FIGURES = "## What it reads\n"  # the card from here on is written by this command


def figures_by_set(decoder: str, lines: pd.DataFrame, data_of: dict[str, str]) -> pd.DataFrame:
    """Return how well `decoder` read the test lines, as `evaluate_rows` returns them: a row for each data set, and one
    for all. data_of: the data set of each line, by its source.
    """
    name_of = lines["source"].map(data_of).map(lambda data: Path(data).name)
    return pd.DataFrame(
        {
            "data set": name,
            "decoder": decoder,
            "test lines": len(own),
            **error_rates(own),
            **calibration_errors(own),
        }
        for name, own in [*lines.groupby(name_of), ("all", lines)]
    ).round(4)


def write_card(folder: Path, data: Data) -> pd.DataFrame:
    """Measure the base model in `folder` on the test splits; return the table, which becomes the end of its card."""
    recognizer, rows = Recognizer.load(folder), of_split(data.rows, "test")
    data_of = dict(zip(rows["source"], rows["data"], strict=True))
    figures = pd.concat(
        figures_by_set(decoder, evaluate_rows(recognizer, rows, decoder, data.images)[0], data_of)
        for decoder in DECODERS
    )
    card = folder / "README.md"
    head = card.read_text("utf-8").partition(FIGURES)[0] if card.exists() else ""
    with replaced(card) as beside:
        beside.write_text(f"{head}{FIGURES}\n{figures.to_markdown(index=False)}\n", "utf-8")
    return figures


@click.command()
@click.option(
    "--data", type=cli.Data(), required=True, help="Tables or folders, separated by commas; `synthetic` is one of them."
)
@click.option("--synthetic-lines", required=True, type=click.IntRange(10))
@click.option("--epochs", required=True, type=click.IntRange(1))
@click.option("--minutes", required=True, type=click.FloatRange(min=0, min_open=True), help="At most.")
@click.option("--start-from", required=True, help='Nothing, "base", or a version: a number, latest, an alias.')
@click.option(
    "--texts", type=cli.FullPath(), default="", help="A text file for the language model, beside the training's texts."
)
@click.option("--seed", required=True, type=click.IntRange(0))
@click.option("--output", required=True, type=click.Path(exists=True, file_okay=False), help="Gets the model's files.")
def main(
    data: str, synthetic_lines: int, epochs: int, minutes: float, start_from: str, texts: str, seed: int, output: str
) -> None:
    cli.detach_from_project_run()
    start = experiment.load_start(start_from)
    settings = Settings(
        seed, epochs, minutes, patience=epochs, start_from=start_from, texts=texts,
        **(SHAPE | experiment.settings_of(start)),
    )  # fmt: skip
    known = start.charset.characters if start else ""  # as in `train`
    data_set = load_data(
        *sources.parse_data(data), height=settings.height, seed=seed,
        synthetic_lines={"train": synthetic_lines}, characters=ASCII + FRENCH + known,
    )  # fmt: skip
    question = "How well does one model read many hands, English and French?"
    run = experiment.run("base", question, settings, data_set, start)
    assert run, "`pretrain` is one process"
    registry.load_recognizer(run.version).save(output)
    experiment.release([run])
    print(write_card(Path(output), data_set).to_string(index=False))


if __name__ == "__main__":
    cli.run("pretrain", main)
