"""Entry point `pretrain`: train the base model that comes with the project, on real and synthetic hands together."""

import string
from pathlib import Path

import click
import pandas as pd

from project import cli
from project.atomic import replaced
from project.data import sources
from project.data.dataset import Data, load_data, repeat_lines
from project.data.multilingual import LETTERS, MARKS
from project.data.rows import of_split
from project.errors import InputError
from project.evaluation.scoring import calibration_errors, error_rates, evaluate_rows
from project.recognition.decoding import DECODERS
from project.recognition.recognizer import Recognizer
from project.tracking import experiment, registry
from project.training.settings import Settings

CHARACTERS = string.ascii_letters + string.digits + string.punctuation + " " + LETTERS + MARKS
HEIGHT = 36  # px: finer line images than by default
RATE = Settings.learning_rate * 5 / 8  # of a training on much that is new, whatever it starts from
WEIGHT_DECAY = 0.03  # less than for a small data set
COLLECTION_LINES = 100  # a collection with fewer test lines has no row of its own in the card
HAND_LINES = 10  # a hand with fewer test lines is left out of the CER by hand


def kinds_of(rows: pd.DataFrame) -> pd.Series:
    """Name the kind of hand of each row: its data set and, where that has large collections, the collection, which is
    what stands before the colon in a writer's name.
    """
    names = rows["data"].map(lambda data: Path(data.rstrip("/")).name)
    collections = rows["writer"].where(rows["writer"].str.contains(":"), "").str.partition(":")[0]
    large = collections.groupby([names, collections]).transform("size") >= COLLECTION_LINES
    return names + (": " + collections).where((collections != "") & large, "")


def figures_by_kind(decoder: str, lines: pd.DataFrame) -> pd.DataFrame:
    """Compute how well `decoder` read test lines (see `evaluate_rows`): a row for each kind of hand, one for all."""
    groups = [*lines.groupby("kind"), ("all", lines)]
    return pd.DataFrame(
        {
            "data set": kind,
            "decoder": decoder,
            "test lines": len(own),
            **error_rates(own),
            **calibration_errors(own),
        }
        for kind, own in groups
    ).round(4)


def spread_of_hands(lines: pd.DataFrame) -> pd.DataFrame:
    """Compute the CER of the best hand, of the one in the middle and of the worst, by kind of hand; of hands with
    `HAND_LINES` lines or more. Without one, the table is empty.
    """
    hands = [
        {"kind of hand": kind, "cer": error_rates(own)["cer"]}
        for (kind, _), own in lines.groupby(["kind", "writer"])
        if len(own) >= HAND_LINES
    ]
    if not hands:
        return pd.DataFrame()
    spread = pd.DataFrame(hands).groupby("kind of hand")["cer"].agg(["size", "min", "median", "max"])
    return spread.round(4).set_axis(["hands", "best", "middle", "worst"], axis=1).reset_index()


def write_card(folder: Path, data: Data) -> pd.DataFrame:
    """Measure the base model in `folder` on the test splits; return the table, which becomes the end of its card."""
    recognizer, rows = Recognizer.load(folder), of_split(data.rows, "test")
    kind_of = dict(zip(rows["source"], kinds_of(rows), strict=True))
    figures = []
    for decoder in DECODERS:
        lines, _ = evaluate_rows(recognizer, rows, decoder, data.images)
        lines["kind"] = lines["source"].map(kind_of)
        figures.append(figures_by_kind(decoder, lines))
    table, hands = pd.concat(figures), spread_of_hands(lines)
    card = folder / "README.md"
    head = card.read_text("utf-8").partition(registry.CARD_METRICS)[0] if card.exists() else ""
    text = f"{head}{registry.CARD_METRICS}\n{table.to_markdown(index=False)}\n"
    if len(hands):
        text += f"\nCER by hand, of hands with {HAND_LINES} test lines or more, with {DECODERS[-1]}:\n\n"
        text += f"{hands.to_markdown(index=False)}\n"
    with replaced(card) as beside:
        beside.write_text(text, "utf-8")
    return table


def parse_repeats(repeat: str) -> dict[str, int]:
    """Read how often the lines of a data set are in an epoch: "archives=2,letters=3". InputError if it is not so."""
    pairs = [one.partition("=") for one in filter(None, repeat.split(","))]
    if not all(name and times.isdigit() and int(times) for name, _, times in pairs):
        raise InputError(f"repeat: {repeat!r}; such as archives=2, a data set's name and a whole number from 1")
    return {name: int(times) for name, _, times in pairs}


@click.command()
@click.option("--data", type=cli.Data(), required=True, help="Data sets, separated by commas; see docs/data.md.")
@click.option("--synthetic-lines", required=True, type=click.IntRange(10), help="Of each data set that is made.")
@click.option("--repeat", default="", help="Data sets whose lines come several times an epoch, such as archives=2.")
@click.option("--epochs", required=True, type=click.IntRange(1))
@click.option("--minutes", required=True, type=click.FloatRange(min=0, min_open=True), help="At most.")
@click.option("--start-from", required=True, help=registry.START_HELP)
@click.option("--channels", default=160, type=click.IntRange(4), help="Of the last convolution.")
@click.option("--lstm-units", default=192, type=click.IntRange(1), help="Of each LSTM, a direction.")
@click.option("--page-conditions", default=1.0, type=click.FloatRange(0, 4), help="Strength of what pages add.")
@click.option("--texts", type=cli.FullPath(), default="", help="A text file, or a folder of one a language.")
@click.option("--private-writers", default="", help="Starts of the names of writers whose texts stay out of these.")
@click.option("--seed", required=True, type=click.IntRange(0))
@click.option("--output", required=True, type=click.Path(exists=True, file_okay=False), help="Gets the model's files.")
def main(
    data: str,
    synthetic_lines: int,
    repeat: str,
    epochs: int,
    minutes: float,
    start_from: str,
    channels: int,
    lstm_units: int,
    page_conditions: float,
    texts: str,
    private_writers: str,
    seed: int,
    output: str,
) -> None:
    cli.detach_from_project_run()
    repeats = parse_repeats(repeat)
    start = registry.load_start(start_from)
    settings = Settings(
        seed, epochs, minutes, patience=epochs, start_from=start_from, texts=texts, private_writers=private_writers,
        learning_rate=RATE if start else Settings.learning_rate, weight_decay=WEIGHT_DECAY,
        page_conditions=page_conditions, height=start.height if start else HEIGHT,
        channels=channels, lstm_units=lstm_units,
    )  # fmt: skip
    known = start.charset.characters if start else ""  # as in `train`
    data_set = load_data(
        *sources.parse_data(data), height=settings.height, seed=seed,
        synthetic_lines={"train": synthetic_lines}, characters=CHARACTERS + known,
    )  # fmt: skip
    data_set = repeat_lines(data_set, repeats)
    question = "How well does one model read many hands, in several languages?"
    run = experiment.run("base", question, settings, data_set, start)
    assert run, "`pretrain` is one process"
    registry.load_recognizer(run.version).save(output, half=True)
    experiment.release([run])
    print(write_card(Path(output), data_set).to_string(index=False))


if __name__ == "__main__":
    cli.run("pretrain", main)
