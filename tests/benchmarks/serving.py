"""How fast the served models answer, beside the raw path: decode a PNG, resize, network, greedy decoding, in process.

    python -m tests.benchmarks.serving --data ../shared/data/bench-synthetic

Registers the base model in a store of its own, serves both models of it by `serve_model`, and puts the load of locust
on them. The raw path reads line by line on as many threads as a worker has, and in batches of 16 on all cores. With
--requests N, the memory of the reader after N requests is compared with that after 100. Prints a table, then JSON.
"""

import base64
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import click
import httpx
import joblib
import mlflow
import numpy as np
import psutil

from project.data.rows import of_split
from project.recognition.image import read_image
from project.recognition.recognizer import Recognizer
from project.tracking.registry import BASE, register_base
from tests.conftest import ROOT, free_port, serving
from tests.rows import read_data_set

CLIENTS = (1, 4, 16, 64)
WARM_UP = 1.0  # seconds that do not count
JSON = {"Content-Type": "application/json"}
ROW = "{:22}{:>8}{:>9}{:>9}{:>9}{:>9}"


def raw(pictures: list[bytes], batch: int, threads: int, seconds: float) -> tuple[float, float]:
    """Read in process for a while: ms a batch (median), and lines/s."""
    os.environ["OMP_NUM_THREADS"] = str(threads)  # read when the engine starts
    recognizer, times = Recognizer.load(BASE), []
    started = time.perf_counter()
    while (now := time.perf_counter()) < started + seconds:
        chosen = [pictures[(len(times) * batch + number) % len(pictures)] for number in range(batch)]
        recognizer.read([recognizer.line_image(read_image(picture)) for picture in chosen])
        if now > started + WARM_UP:
            times.append(1000 * (time.perf_counter() - now))
    return report(f"raw, batch {batch}", "", times, batch * len(times) / (seconds - WARM_UP))


def load(name: str, port: int, bodies: list[str], clients: int, seconds: float) -> tuple[float, float]:
    """Put the load of so many clients on a server for a while: ms a request (median), and lines/s."""
    with tempfile.TemporaryDirectory() as folder:
        sent, answered = Path(folder, "bodies.json"), Path(folder, "answered.json")
        sent.write_text(json.dumps(bodies))
        command = [sys.executable, "-m", "locust", "-f", str(Path(__file__).with_name("load.py")), "--headless"]
        command += ["--only-summary", "-H", f"http://127.0.0.1:{port}", "-u", str(clients), "-r", str(clients)]
        environment = os.environ | {"LOAD_BODIES": str(sent), "LOAD_ANSWERED": str(answered)}
        ran = subprocess.run([*command, "-t", f"{seconds}s"], env=environment, capture_output=True, text=True)
        times = [(start, took) for start, took, good in json.loads(answered.read_text()) if good]
    assert ran.returncode == 0, ran.stderr
    first = min(start for start, _ in times) + WARM_UP
    times = [took for start, took in times if start >= first]
    return report(name, clients, times, len(times) / (seconds - WARM_UP))


def report(name: str, clients: int | str, times: list[float], rate: float) -> tuple[float, float]:
    """Print a row of the table; returns the median of the times (ms), and lines/s."""
    percentiles = [f"{percentile:.1f}" for percentile in np.percentile(times, (50, 95, 99))]
    print(ROW.format(name, clients, f"{rate:.1f}", *percentiles), flush=True)
    return statistics.median(times), rate


def registered_base(folder: Path) -> str:
    """The URI of a new tracking store in `folder`, in which the base model is registered."""
    mlflow.set_tracking_uri(store := f"sqlite:///{folder}/mlflow.db")
    with mlflow.start_run(experiment_id=mlflow.create_experiment("base", artifact_location=str(folder / "artifacts"))):
        register_base()
    return store


@contextmanager
def served(
    name: str, workers: int, store: str, folder: Path, version: str = "base"
) -> Iterator[tuple[int, psutil.Process]]:
    """The model as `serve_model` serves it: its port, and the process."""
    port = free_port()
    command = [sys.executable, "-m", "project.serve_model", f"--model-name={name}", f"--model-version={version}"]
    command += ["--host=127.0.0.1", f"--port={port}", f"--workers={workers}", "--web-page=off"]
    environment = {"MLFLOW_TRACKING_URI": store, "PYTHONPATH": str(ROOT)}
    with serving(command, f"http://127.0.0.1:{port}/ping", folder, **environment) as process:
        yield port, psutil.Process(process.pid)


def memory_growth(server: psutil.Process, port: int, bodies: list[str], requests: int) -> float:
    """Memory of a process and of all that it started: after so many requests, against after 100."""

    def memory_after(count: int) -> int:
        with httpx.Client(base_url=f"http://127.0.0.1:{port}", headers=JSON) as client, ThreadPoolExecutor(16) as pool:
            sent = (bodies[number % len(bodies)] for number in range(count))
            for answer in pool.map(lambda body: client.post("/invocations", content=body), sent):
                assert answer.status_code == 200, answer.text
        return sum(process.memory_info().rss for process in (server, *server.children(recursive=True)))

    before = memory_after(100)
    after = memory_after(requests - 100)
    print(f"memory after 100 requests {before >> 20} MB, after {requests} {after >> 20} MB")
    return after / before


@click.command()
@click.option("--data", required=True, help="A data set as in project/docs/data.md; its test split is read.")
@click.option("--lines", default=100, type=click.IntRange(1))
@click.option("--seconds", default=10, type=click.IntRange(3), help="For each row of the table.")
@click.option("--workers", default=joblib.cpu_count(), type=click.IntRange(1))
@click.option("--requests", default=0, type=click.IntRange(0), help="For the memory; 0 leaves that out.")
def main(data: str, lines: int, seconds: int, workers: int, requests: int) -> None:
    rows = read_data_set(data)
    images = of_split(rows, "test")["image"][:lines]
    pictures = [image if isinstance(image, bytes) else Path(image).read_bytes() for image in images]
    bodies = {
        "handwriting_reader": [
            json.dumps({"inputs": {"image": [base64.b64encode(picture).decode()]}}) for picture in pictures
        ],
        "cnn_text_identifier": [
            json.dumps({"inputs": read_image(picture)[None, None].tolist()}, separators=(",", ":"))
            for picture in pictures
        ],
    }
    cores = joblib.cpu_count()
    print(ROW.format("", "clients", "lines/s", "p50 ms", "p95 ms", "p99 ms"))

    def raw_path() -> tuple[float, float]:
        """ms a line, line by line; lines/s in batches."""
        return raw(pictures, 1, max(1, cores // workers), seconds)[0], raw(pictures, 16, cores, seconds)[1]

    raw_paths, of_model, growth = [raw_path()], {}, {}
    with tempfile.TemporaryDirectory() as folder:
        store = registered_base(Path(folder))
        for name in bodies:
            with served(name, workers, store, Path(folder)) as (port, server):
                if requests and name == "handwriting_reader":
                    growth["rss_ratio"] = memory_growth(server, port, bodies[name], requests)
                of_model[name] = {clients: load(name, port, bodies[name], clients, seconds) for clients in CLIENTS}
    raw_paths.append(raw_path())  # before and after: other work on the machine comes and goes
    raw_ms, raw_rate = (statistics.mean(figures) for figures in zip(*raw_paths, strict=True))
    figures = {
        "reader_p50_ratio": of_model["handwriting_reader"][1][0] / raw_ms,
        "tensor_p50_ratio": of_model["cnn_text_identifier"][1][0] / raw_ms,
        "load16_ratio": of_model["handwriting_reader"][16][1] / raw_rate,
    }
    print(json.dumps({name: round(figure, 3) for name, figure in (figures | growth).items()}))


if __name__ == "__main__":
    main()
