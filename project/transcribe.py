"""Entry point `transcribe`: read any number of pictures with a registered version."""

import json
import time
from pathlib import Path

import click
import joblib
import mlflow
from mlflow.entities.model_registry import ModelVersion

from project import cli
from project.archive import review, transcription
from project.archive.page_files import SUFFIXES, PageFiles, page_folder
from project.archive.summary import Summary, summarize
from project.data import sources
from project.errors import InputError
from project.evaluation import figures
from project.pages.line_or_page import LAYOUTS
from project.tracking import registry

SHOWN = 20  # bad pictures that are printed


def transcribe(
    images: str,
    parts: Path,
    version: ModelVersion,
    layout: str,
    page_files: PageFiles | None,
    engine: str,
    processes: int,
    master: str,
) -> None:
    """Read the pictures that `parts` lacks, in processes of this machine or on Apache Spark, which only this needs."""
    if engine == "loop":
        recognizer = registry.load_recognizer(version)
        return transcription.transcribe(images, parts, recognizer, int(version.version), layout, page_files, processes)
    try:
        from project.archive import spark
    except ModuleNotFoundError as error:
        raise InputError(f"engine: {error}; Spark needs Java 17 and `pip install pyspark==4.3.0`") from None
    return spark.transcribe(images, parts, version, master, layout)


def log(summary: Summary, metrics: dict[str, float]) -> None:
    """Log the figures, the histogram of confidence, the least certain lines and the bad pictures to MLflow."""
    mlflow.log_metrics(metrics)
    mlflow.log_figure(figures.confidence_histogram(summary.histogram), "confidence.png")
    mlflow.log_table(summary.least_certain, "least_certain.json")
    mlflow.log_text(summary.bad.to_csv(index=False), "bad_pictures.csv")


@click.command()
@click.option(
    "--images", type=cli.Data(), required=True, help="A folder of pictures of pages or lines, a PDF, or a data set."
)
@click.option(
    "--output", type=cli.FullPath(), required=True, help="A .parquet or .csv table, or a folder for its parts."
)
@click.option("--model-version", required=True, help="Number, latest, or alias.")
@click.option("--layout", required=True, type=click.Choice(LAYOUTS), help="What each picture is.")
@click.option(
    "--pages", required=True, type=click.Choice(["", *SUFFIXES]), help="Files to write of pages, beside output."
)
@click.option("--engine", required=True, type=click.Choice(["loop", "spark"]))
@click.option("--processes", required=True, type=click.IntRange(0), help="That read, of the loop; 0 is one a core.")
@click.option("--master", required=True, help="Where Spark runs: local[2], spark://host:7077, ...")
@click.option(
    "--review",
    "table",
    type=cli.FullPath(),
    required=True,
    help="A .csv table to make of lines for correction, or nothing.",
)
@click.option("--review-lines", required=True, type=click.IntRange(1))
@click.option("--review-by", required=True, type=click.Choice(["confidence", "chance", "page"]))
def main(
    images: str, output: str, model_version: str, layout: str, pages: str, engine: str, processes: int,
    master: str, table: str, review_lines: int, review_by: str,
) -> None:  # fmt: skip
    if not sources.exists(images):
        raise InputError(f"images: {images} does not exist; it is a folder of pictures, a PDF, or a data set")
    parts = transcription.parts_of(output, images)
    if table:
        review.check_place(Path(table), images, parts, Path(output))
    if pages and engine != "loop":
        raise InputError(f"pages: {pages} files are written with engine=loop only")
    page_files = PageFiles(page_folder(parts, images), images, pages) if pages else None
    version = registry.find_version(model_version, registry.READER_NAME)
    with transcription.locked(parts):
        transcription.drop_failed(parts)
        before, started = set(transcription.table_of(parts).files), time.monotonic()
        transcribe(images, parts, version, layout, page_files, engine, processes or joblib.cpu_count(), master)
        seconds = time.monotonic() - started
        summary = summarize(parts, review_lines, exclude=review.reviewed_places(parts))
        if not summary.lines:
            raise InputError(f"images: there are no pictures in {images}")
        if Path(output).suffix:
            transcription.write_joined(parts, Path(output))
        if table:
            by = {"confidence": summary.least_certain, "chance": summary.by_chance, "page": summary.by_page}
            handed_out = review.write_review(
                images, by[review_by], Path(table), parts, registry.load_recognizer(version)
            )
            print(f"{handed_out} lines to correct: {Path(table).with_suffix('.html')}, or {table}")

    metrics: dict[str, float] = {
        "lines": summary.lines,
        "bad_pictures": summary.bad_pictures,
        "read_now": transcription.count(parts, exclude=before),
    }
    metrics |= {"lines_per_s": round(metrics["read_now"] / seconds, 1), "mean_confidence": summary.mean_confidence}
    mlflow.set_tags({"version": version.version, "output": output, "engine": engine})
    log(summary, metrics)
    for line in summary.bad.head(SHOWN).itertuples():
        print(f"not read: {line.source}: {line.error}")
    print(f"{version.name} version {version.version}: {images} -> {output}")
    print(json.dumps(metrics))
    if summary.bad_pictures == summary.lines:
        first = summary.bad.iloc[0]
        raise InputError(f"images: none of {summary.lines} pictures can be read, the first because: {first['error']}")


if __name__ == "__main__":
    cli.run("transcribe", main)
