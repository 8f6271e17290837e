"""Entry point `evaluate`: the CER and WER of a registered version on any labelled data set."""

import json

import click
import mlflow
import pandas as pd

from project import cli
from project.data import sources
from project.data.line_cache import LineImages, line_images
from project.data.rows import of_split
from project.data.splits import digest_rows
from project.evaluation.scoring import calibration_errors, error_rates, evaluate_rows
from project.recognition.decoding import DECODERS
from project.tracking import registry, report
from project.tracking.store import mark_as_training


def rows_to_read(data: str, height: int) -> tuple[pd.DataFrame, LineImages, str]:
    """Return the rows of a data set that are marked `test`, or all where none is, and their line images.

    The third is which of the two it was, "test" or "all". No picture is in memory.
    """
    rows, split = sources.scan_rows(data), "all"
    marked = of_split(rows, "test")
    if len(marked):
        rows, split = marked.reset_index(drop=True), "test"
    streamed = (row for row in sources.stream_rows(data) if split in ("all", row.split))
    return rows, line_images(streamed, rows["fingerprint"], height), split


@click.command()
@click.option(
    "--data",
    type=cli.Data(),
    required=True,
    help="As in project/docs/data.md: its test split, or all that it has where none is given.",
)
@click.option("--model-version", required=True, help="Number, latest, or alias.")
@click.option("--decoder", required=True, type=click.Choice(DECODERS))
def main(data: str, model_version: str, decoder: str) -> None:
    version = registry.find_version(model_version)
    recognizer = registry.load_recognizer(version)
    rows, images, split = rows_to_read(data, recognizer.height)
    lines, rejected = evaluate_rows(recognizer, rows, decoder, images)

    metrics = error_rates(lines) | calibration_errors(lines) | {"lines": len(lines), "rejected": len(rejected)}
    run = mlflow.active_run() or mlflow.start_run()  # that of `mlflow run`, if there is one
    mlflow.set_tags({"version": version.version, "split": split})
    dataset = report.dataset_of(rows.assign(data=data), split, digest_rows(rows), {data: data})
    mlflow.log_input(dataset, context="testing")
    report.log_to_models(run.info.run_id, version, metrics, dataset)
    mark_as_training(run.info.experiment_id)
    mlflow.log_table(lines, "lines.json")
    mlflow.log_text(rejected.to_csv(index=False), "rejected_rows.csv")
    for row in rejected.itertuples():
        print(f"left out: {row.source}: {row.reason}")
    print(f"{version.name} version {version.version} on {split} lines of {data}")
    print(json.dumps(metrics))


if __name__ == "__main__":
    cli.run("evaluate", main)
