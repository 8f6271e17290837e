"""Entry point `evaluate`: the CER and WER of a registered version on any labelled data set."""

import json

import click
import mlflow

from project import dataset, entry_point, registry
from project.comparison import calibration_errors, compare, error_rates
from project.decoding import DECODERS
from project.recognizer import Recognizer


@click.command()
@click.option(
    "--data", required=True, help="As in project/dataset: its test split, or all that it has where none is given."
)
@click.option("--model-version", required=True, help="Number, latest, or alias.")
@click.option("--decoder", required=True, type=click.Choice(DECODERS))
def main(data: str, model_version: str, decoder: str) -> None:
    rows, split = dataset.read_rows(data, "test"), "test"
    if not len(rows):
        rows, split = dataset.read_rows(data), "all"
    version = registry.find_version(model_version)
    lines, rejected = compare(Recognizer.from_registry(version), rows, decoder)

    figures = error_rates(lines) | calibration_errors(lines) | {"lines": len(lines), "rejected": len(rejected)}
    mlflow.set_tags({"version": version.version, "split": split})
    mlflow.log_metrics(figures)
    mlflow.log_table(lines, "lines.json")
    mlflow.log_text(rejected.to_csv(index=False), "rejected_rows.csv")
    for row in rejected.itertuples():
        print(f"left out: {row.source}: {row.reason}")
    print(f"{version.name} version {version.version} on {split} lines of {data}")
    print(json.dumps(figures))


if __name__ == "__main__":
    entry_point.run("evaluate", main)
