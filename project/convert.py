"""Entry point `convert`: any data set as parquet files with a data card."""

import json
from pathlib import Path

import click
import mlflow

from project import cli
from project.data.convert import CROPS, convert
from project.data.rules import MARKS, Rules

FILES = ("README.md", "rejected_rows.csv", "leaks.csv")


@click.command()
@click.option("--data", type=cli.Data(), required=True, help="A data set, see project/docs/data.md.")
@click.option("--output", required=True, type=cli.FullPath(), help="A folder that is not there yet.")
@click.option("--seed", required=True, type=click.IntRange(0), help="Of the splits that are held out.")
@click.option("--writer", required=True, help="Whose hand a line is: auto, folder, none, or a regular expression.")
@click.option("--marks", required=True, type=click.Choice(MARKS), help="What becomes of editorial marks.")
@click.option("--left-out-types", required=True, help="Types of lines to leave out, separated by commas.")
@click.option("--crops", required=True, type=click.Choice(CROPS), help="How lines cut out of pages are written.")
def main(data: str, output: str, seed: int, writer: str, marks: str, left_out_types: str, crops: str) -> None:
    folder = Path(output)
    types = frozenset(name.strip() for name in left_out_types.split(",") if name.strip())
    counts = convert(data, folder, seed, Rules(marks, types, writer), crops)
    mlflow.log_metrics(counts)
    for name in FILES:
        mlflow.log_artifact(str(folder / name))
    print((folder / "README.md").read_text("utf-8"))
    print(json.dumps(counts))


if __name__ == "__main__":
    cli.run("convert", main)
