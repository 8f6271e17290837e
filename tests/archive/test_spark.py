"""Apache Spark for real: two threads of this machine, and a local cluster of two worker processes."""

import shutil
import time
from contextlib import suppress
from threading import Thread

import mlflow
import numpy as np
import pandas as pd
import psutil
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from project.archive import spark, transcription
from project.recognition.recognizer import Recognizer
from project.tracking import registry
from project.tracking.registry import BASE, PACKAGE, TEST_INPUTS, register

LINES = 200


@pytest.fixture(scope="module")
def version(tmp_path_factory):
    """The base model, registered in a store of our own."""
    before, folder = mlflow.get_tracking_uri(), tmp_path_factory.mktemp("store")
    mlflow.set_tracking_uri(f"sqlite:///{folder}/mlflow.db")
    mlflow.create_experiment("base", artifact_location=str(folder / "artifacts"))
    with mlflow.start_run(experiment_id=mlflow.set_experiment("base").experiment_id):
        register(Recognizer.load(BASE), np.full((40, 90), 255, np.uint8), "", {})
    yield registry.find_version("1", registry.READER_NAME)
    mlflow.set_tracking_uri(before)


@pytest.fixture(scope="module")
def pictures(tmp_path_factory):
    """Lines, again and again, and a page, in a folder and one below with an awkward name; two are no pictures."""
    folder, lines = tmp_path_factory.mktemp("pictures"), sorted(TEST_INPUTS.glob("*.png"))
    (folder / "box 2 + [notes], 50 %").mkdir()
    for number in range(LINES - 3):
        below = folder / "box 2 + [notes], 50 %" if number % 2 else folder
        shutil.copy(lines[number % len(lines)], below / f"{number} é.png")
    shutil.copy(PACKAGE / "figures" / "letter.jpg", folder)
    (folder / "note.jpg").write_text("no picture")
    (folder / "cut.PNG").write_bytes(lines[0].read_bytes()[:-400])
    (folder / "list.txt").write_text("not even called a picture")
    return folder


@pytest.fixture(scope="module")
def expected(pictures, tmp_path_factory):
    """What the plain loop reads."""
    parts = tmp_path_factory.mktemp("loop")
    transcription.transcribe(str(pictures), parts, Recognizer.load(BASE), 1)
    return read_all(parts)


def read_all(parts):
    return transcription.table_of(parts).to_table().to_pandas().sort_values(["source", "line"], ignore_index=True)


def assert_same(read, expected):
    """Each line once; the same texts, confidence, and missing cells."""
    assert list(read["source"]) == list(expected["source"])
    assert list(read["text"].fillna("-")) == list(expected["text"].fillna("-"))
    assert np.allclose(read["confidence"], expected["confidence"], rtol=2e-3, atol=0, equal_nan=True)
    assert list(read["error"].isna()) == list(expected["error"].isna())
    for column in ("page", "line", "outline"):
        assert list(read[column].fillna(-1)) == list(expected[column].fillna(-1))
    assert read.loc[read["error"].notna(), "text"].isna().all()
    assert list(read["model_version"]) == list(expected["model_version"])


def is_executor(process):
    with suppress(psutil.Error):  # it has ended meanwhile
        return "CoarseGrainedExecutorBackend" in " ".join(process.cmdline())


def test_with_a_worker_killed_in_the_middle_every_line_is_there_once(version, pictures, expected, tmp_path):
    parts = tmp_path / "read"
    parts.mkdir()
    job = Thread(target=spark.transcribe, args=(str(pictures), parts, version, "local-cluster[2,1,1024]"))
    job.start()
    while not list(parts.glob("part-*")):
        assert job.is_alive()
        time.sleep(0.02)
    workers = [process for process in psutil.Process().children(recursive=True) if is_executor(process)]
    assert len(workers) == 2
    workers[0].kill()
    assert len(list(parts.glob("part-*"))) < 8
    job.join()
    assert_same(read_all(parts), expected)


def test_what_spark_says_is_told_in_words(version, pictures, tmp_path):
    with pytest.raises(ValueError, match=r"(?s)engine: Spark failed: .*Could not parse Master URL: 'nowhere'") as told:
        spark.transcribe(str(pictures), tmp_path, version, "nowhere")
    assert "\tat org.apache" not in str(told.value)


@pytest.fixture(scope="module")
def running():
    """After the test of the cluster: a process has one session at a time."""
    with spark.session("local[2]") as session:
        yield session


def test_a_folder_is_read_as_the_plain_loop_reads_it_and_a_second_call_reads_what_is_missing(
    running, version, pictures, expected, tmp_path
):
    parts = tmp_path / "read [1]"
    parts.mkdir()
    read = expected[expected["source"].isin(expected["source"].unique()[::3])]
    known = pa.Table.from_pandas(read, transcription.SCHEMA, preserve_index=False)
    pq.write_table(known, parts / "part-000000.parquet")
    for _ in range(2):
        spark.read_missing(running, str(pictures), parts, version)
        assert_same(read_all(parts), expected)


@pytest.mark.parametrize("struct", [True, False])
def test_parquet_is_read_as_the_plain_loop_reads_it(running, version, pictures, tmp_path, struct):
    table, loop, parts = tmp_path / "lines + 50 %.parquet", tmp_path / "loop", tmp_path / "read [1]"
    cells = [path.read_bytes() for path in sorted(pictures.glob("*.*"))[:20]] + [None]
    pd.DataFrame({"image": [{"bytes": cell} for cell in cells] if struct else cells}).to_parquet(table)
    loop.mkdir()
    parts.mkdir()
    transcription.transcribe(str(table), loop, Recognizer.load(BASE), 1)
    spark.read_missing(running, str(table), parts, version)
    assert_same(read_all(parts), read_all(loop))


def test_what_spark_cannot_read_is_refused_in_words(running, version, tmp_path):
    (tmp_path / "lines.csv").write_text("image\na.png\n")
    with pytest.raises(ValueError, match=r"lines\.csv is neither parquet nor a folder of pictures"):
        spark.read_missing(running, str(tmp_path / "lines.csv"), tmp_path / "read", version)
    pd.DataFrame({"image": ["a.png"]}).to_parquet(tmp_path / "paths.parquet")
    with pytest.raises(ValueError, match=r"paths\.parquet has no column image with the bytes of pictures"):
        spark.read_missing(running, str(tmp_path / "paths.parquet"), tmp_path / "read", version)
