"""The same as `transcription` on Apache Spark: many processes, on one machine or on a cluster of them.

Spark shares out the work, and does again what a lost worker had begun; each task writes one part.
"""

import math
import os
import re
import string
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import mlflow
import pyarrow.dataset as ds
from mlflow.entities.model_registry import ModelVersion
from py4j.protocol import Py4JError
from pyspark.errors import PySparkException
from pyspark.sql import Column, DataFrame, SparkSession
from pyspark.sql import functions as F
from pyspark.sql.types import BinaryType, StructType

from project.archive import transcription
from project.data.folders import FILES
from project.data.sources import is_picture_folder
from project.data.tables import find_tables
from project.errors import InputError
from project.recognition.recognizer import CHUNK_LINES
from project.tracking import registry

LINES = "array<struct<text:string, confidence:double, outline:array<array<bigint>>>>"
READING = f"text string, confidence double, error string, layout string, lines {LINES}"
SETTINGS = {
    "spark.sql.execution.arrow.maxRecordsPerBatch": CHUNK_LINES,  # what goes to the model at once
    "spark.executorEnv.OMP_NUM_THREADS": 1,  # a task has one core
    "spark.hadoop.mapreduce.fileoutputcommitter.algorithm.version": 2,  # a part is there when its task is done
    "spark.sql.files.maxPartitionBytes": "32m",  # with the next, less than 1,000 picture files in a task
    "spark.sql.files.openCostInBytes": "32k",
    "spark.shuffle.compress": False,  # pictures are compressed already
    "spark.ui.showConsoleProgress": True,
}
ADVICE = "engine=loop reads it, and `mlflow run . -e convert` makes parquet of lines with texts"


def transcribe(images: str, parts: Path, version: ModelVersion, master: str, layout: str = "auto") -> None:
    """Read the pictures that `parts` lacks. layout: one of `line_or_page.LAYOUTS`.

    master: as Spark names it, such as `local[2]` or `spark://host:7077`.

    images: a folder of pictures, or parquet that holds them. Each worker must reach it, and `parts`, at the same path.
    Raise InputError if `images` is something else, or Spark fails.
    """
    try:
        with session(master) as spark:
            read_missing(spark, images, parts, version, layout)
    except (PySparkException, Py4JError) as error:
        message, *_ = str(error).split("\n\tat ")  # what follows are the calls in Java
        raise InputError(f"engine: Spark failed: {message}") from error


@contextmanager
def session(master: str) -> Iterator[SparkSession]:
    """Yield a Spark session with our settings, which is stopped in the end; workers run this Python."""
    os.environ.setdefault("PYSPARK_PYTHON", sys.executable)
    builder = SparkSession.builder.appName("transcribe").master(master)
    here = {"spark.driver.host": "127.0.0.1"} if master.startswith("local") else {}
    for name, value in (SETTINGS | here).items():
        builder = builder.config(name, value)
    spark = builder.getOrCreate()
    spark.sparkContext.setLogLevel("ERROR")
    try:
        yield spark
    finally:
        spark.stop()


def read_missing(spark: SparkSession, images: str, parts: Path, version: ModelVersion, layout: str = "auto") -> None:
    """Read the pictures that `parts` lacks."""
    pictures = find_pictures(spark, images)
    if transcription.count(parts):
        drop_replaced(spark, pictures, parts)
        known = spark.read.parquet(_location(parts)).select(F.xxhash64("source").alias("key"))
        pictures = pictures.join(F.broadcast(known), F.xxhash64("source") == known["key"], "left_anti")
    uri = registry.version_uri(version)
    reader = mlflow.pyfunc.spark_udf(spark, uri, READING, env_manager="local", params={"layout": layout})
    read = pictures.select(
        "source", F.sha2("image", 256).alias("fingerprint"), reader(F.struct("image")).alias("reading")
    )
    read = read.select("source", "fingerprint", "reading.*")
    is_page, is_read = F.col("layout") == "page", F.col("error") == ""  # the model answers without nulls
    # a row for each line of a page, and one for anything else
    lines = F.when(is_page, F.col("lines")).otherwise(F.array())
    read = read.select("*", F.posexplode_outer(lines).alias("index", "of_page"))
    number = F.when(is_page, F.coalesce(F.col("index") + 1, F.lit(0)))  # 0: nothing is written on the page
    places = F.transform("of_page.outline", lambda place: F.concat_ws(",", place))
    is_line = is_read & (number.isNull() | (number > 0))
    read.select(
        "source",
        F.lit(1).cast("long").alias("page"),
        number.cast("long").alias("line"),
        F.when(number > 0, F.concat_ws(" ", places)).alias("outline"),
        F.when(is_read, F.coalesce("of_page.text", "text")).alias("text"),
        F.when(is_line, F.coalesce("of_page.confidence", "confidence")).alias("confidence"),
        F.lit(int(version.version)).cast("long").alias("model_version"),
        F.when(~is_read, F.col("error")).alias("error"),
        "fingerprint",
    ).write.mode("append").parquet(f"file:{parts}")


def drop_replaced(spark: SparkSession, pictures: DataFrame, parts: Path) -> None:
    """Take out of `parts` what was read of other pictures under the same names."""
    schema = "source string, fingerprint string"  # archives from before November 2026 lack the second
    known = spark.read.schema(schema).parquet(_location(parts)).where("fingerprint is not null").distinct()
    known = known.select(F.xxhash64("source").alias("key"), F.col("fingerprint").alias("known"))
    same_name = pictures.join(F.broadcast(known), F.xxhash64("source") == known["key"])
    replaced = same_name.where(F.sha2("image", 256) != F.col("known")).select("source").distinct().collect()
    if replaced:
        transcription.drop(parts, ds.field("source").isin([row["source"] for row in replaced]))


def find_pictures(spark: SparkSession, images: str) -> DataFrame:
    """Return the bytes of each picture, `image`, with its `source` as `sources.stream_rows` names it."""
    tables = [table.name for table in find_tables(images)]
    if tables and all(table.endswith(".parquet") for table in tables):
        return from_parquet(spark, tables)
    if tables or not ("://" in images or is_picture_folder(images)):
        raise InputError(f"images: {images} is neither parquet nor a folder of pictures of lines; {ADVICE}")
    return from_files(spark, images)


def from_parquet(spark: SparkSession, tables: list[str]) -> DataFrame:
    """Return the pictures in tables, shared out anew: row groups may be few and large, and reading takes longer.

    By a hash: where rows are dealt out in turn, Spark sorts them all first, so that a lost task can be done again.
    """
    rows = spark.read.parquet(*map(_location, tables))
    kind = rows.schema["image"].dataType if "image" in rows.columns else None
    if not isinstance(kind, StructType | BinaryType):
        advice = f"; {ADVICE}" if kind else ""
        raise InputError(f"images: {tables[0]} has no column image with the bytes of pictures{advice}")
    file = F.url_decode(F.replace("_metadata.file_path", F.lit("+"), F.lit("%2B")))
    source = F.concat(_path(file), F.lit(":"), F.col("_metadata.row_index") + 1)
    image = F.col("image.bytes" if isinstance(kind, StructType) else "image")
    partitions = max(least_tasks(spark), math.ceil(rows.count() / transcription.PART))
    return rows.select(source.alias("source"), image.alias("image")).repartition(partitions, "source")


def from_files(spark: SparkSession, folder: str) -> DataFrame:
    """Return the pictures in a folder and below."""
    spark.conf.set("spark.sql.files.minPartitionNum", least_tasks(spark))
    anycase = str.maketrans({letter: f"[{letter}{letter.upper()}]" for letter in string.ascii_lowercase})
    suffixes = sorted(suffix.translate(anycase) for suffix in FILES)
    reader = spark.read.format("binaryFile").option("recursiveFileLookup", True)
    files = reader.option("pathGlobFilter", f"*{{{','.join(suffixes)}}}").load(_location(folder))
    return files.select(_path(F.col("path")).alias("source"), F.col("content").alias("image"))


def least_tasks(spark: SparkSession) -> int:
    """Return the number of tasks: several a core, so that the last ones are done at about the same time."""
    return 4 * spark.sparkContext.defaultParallelism


def _location(path: str | Path) -> str:
    """Return where to read: an address, or a path of this machine, in which Spark would take [ or * for a pattern."""
    if "://" in str(path):
        return str(path)
    return "file:" + re.sub(r"([*?\[\]{}\\])", r"\\\1", str(Path(path).expanduser().resolve()))


def _path(address: Column) -> Column:
    """Return the path of a file of this machine; any other address as it is."""
    return F.regexp_replace(address, "^file:/+", "/")
