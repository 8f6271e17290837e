"""What a served version bears while it is used: its alias moves, its processes are killed, requests are malformed.

    python -m tests.benchmarks.operation --kills 50 --malformed 10000

Registers the base model twice in a store of its own, and serves the reader by `serve_model` under its alias to 16
clients. Then compares 16 requests of a line with one request of 16 lines, which is what micro-batches would gain.
Prints a table, then JSON.
"""

import base64
import io
import json
import random
import statistics
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from itertools import count
from pathlib import Path
from threading import Event

import click
import httpx
import mlflow
import psutil
from mlflow import MlflowClient
from PIL import Image

from project.recognition.image import read_image
from project.recognition.recognizer import Recognizer
from project.tracking.registry import BASE, READER_NAME, TEST_INPUTS, register, set_alias
from tests.benchmarks.serving import JSON, served

CLIENTS = 16
LINES = sorted(TEST_INPUTS.glob("*.png"))
PICTURES = [base64.b64encode(path.read_bytes()).decode() for path in LINES]
ALIAS = "champion"
ROW = "{:44}{:>20}"
TIMEOUT = 150  # seconds for an answer


def show(figures: dict[str, float]) -> dict[str, float]:
    """Print figures, a row each, and return them."""
    for name, figure in figures.items():
        print(ROW.format(name, figure if isinstance(figure, int) else f"{figure:.3g}"), flush=True)
    return figures


# ---------------------------------------------------------------------------------------------------------- under load


@contextmanager
def under_load(url: str) -> Iterator[Counter]:
    """Have `CLIENTS` clients read lines, one after another; yield how often each outcome came, by status or error."""
    ended, outcomes = Event(), Counter()

    def read(number: int) -> None:
        with httpx.Client(timeout=TIMEOUT, headers=JSON) as client:
            for turn in count(number):
                if ended.is_set():
                    return
                body = json.dumps({"inputs": [PICTURES[turn % len(PICTURES)]]})
                try:
                    outcome: object = client.post(f"{url}/invocations", content=body).status_code
                except httpx.HTTPError as error:
                    outcome = type(error).__name__
                outcomes[outcome] += 1

    with ThreadPoolExecutor(CLIENTS) as pool:
        clients = [pool.submit(read, number) for number in range(CLIENTS)]
        try:
            yield outcomes
        finally:
            ended.set()
    for client in clients:
        client.result()


def move_alias(url: str) -> dict[str, float]:
    """Move the alias under load: failed requests, and seconds until the other version is served."""
    client = MlflowClient()
    before = httpx.get(f"{url}/version").json()["version"]
    other = next(one.version for one in client.search_model_versions(f"name='{READER_NAME}'") if one.version != before)
    with under_load(url) as outcomes:
        time.sleep(2)
        client.set_registered_model_alias(READER_NAME, ALIAS, other)
        moved = time.monotonic()
        while httpx.get(f"{url}/version", timeout=TIMEOUT).json()["version"] != str(other):
            time.sleep(0.1)
        seconds = time.monotonic() - moved
        time.sleep(5)
    return {
        "alias_requests": outcomes.total(),
        "alias_failed": outcomes.total() - outcomes[200],
        "alias_seconds": seconds,
    }


def kill_processes(url: str, server: psutil.Process, kills: int, seed: int) -> dict[str, float]:
    """Kill processes of the server at random under load: requests that failed, of those of workers and of the front."""
    random_kill, figures = random.Random(seed), Counter()
    with under_load(url) as outcomes:
        for _ in range(kills):
            time.sleep(random_kill.uniform(0.2, 1.5))
            processes = {"front": [], "worker": []}
            for process in server.children(recursive=True):
                with suppress(psutil.Error):
                    kind = "front" if "uvicorn" in process.cmdline() else "worker"
                    processes[kind].append(process)
            kind, process = random_kill.choice([(kind, one) for kind, some in processes.items() for one in some])
            failed = outcomes.total() - outcomes[200]
            process.kill()
            figures[f"kills_of_{kind}"] += 1
            good = outcomes[200]
            while outcomes[200] < good + CLIENTS:  # it answers again
                time.sleep(0.1)
            figures[f"lost_with_{kind}"] += outcomes.total() - outcomes[200] - failed
    print(f"outcomes: {dict(outcomes)}")
    return {"kill_requests": outcomes.total(), **figures}


# ------------------------------------------------------------------------------------------------------------ malformed


def spoiled(chance: random.Random, data: bytes) -> bytes:
    """Return `data` with a few bytes changed, and perhaps cut off."""
    changed = bytearray(data)
    for _ in range(chance.randint(1, 8)):
        changed[chance.randrange(min(len(changed), 600))] = chance.randrange(256)
    return bytes(changed[: chance.randint(1, len(changed))]) if chance.random() < 0.5 else bytes(changed)


def malformed_bodies(chance: random.Random) -> Iterator[bytes]:
    """Yield bodies without end: broken JSON, JSON of other shapes, broken pictures of lines and of pages."""
    page = Image.new("L", (1200, 1600), 255)
    for number, path in enumerate(LINES):
        page.paste(Image.open(path).convert("L").resize((900, 60)), (100, 80 + 90 * number))
    originals = [path.read_bytes() for path in LINES]
    for kind in ("JPEG", "PNG", "TIFF", "WEBP"):
        with io.BytesIO() as file:
            page.save(file, kind)
            originals.append(file.getvalue())
    values = [None, True, 7, -1.5, "", "text", [], {}, [[]], [None], {"image": 5}, PICTURES[0]]
    forms = ["inputs", "instances", "dataframe_split", "dataframe_records", "params", "other"]
    good = json.dumps({"inputs": [PICTURES[0]]}).encode()
    while True:
        yield spoiled(chance, good)
        yield json.dumps({chance.choice(forms): chance.choice(values) for _ in range(chance.randint(0, 3))}).encode()
        params = {chance.choice(["layout", "decoder", "beam_width", "nothing"]): chance.choice(values)}
        yield json.dumps({"inputs": [chance.choice(PICTURES)], "params": params}).encode()
        picture = base64.b64encode(spoiled(chance, chance.choice(originals))).decode()
        yield json.dumps({"inputs": [picture], "params": {"layout": chance.choice(["auto", "line", "page"])}}).encode()


def send_malformed(url: str, number: int, seed: int) -> dict[str, float]:
    """Send malformed requests: how many had a status of 500 or more, and how many answers were not JSON."""
    bodies = malformed_bodies(random.Random(seed))

    def refuse(constant: str) -> None:
        raise ValueError(f"{constant} is not JSON")

    def send(body: bytes) -> tuple[int, bool]:
        answer = client.post(f"{url}/invocations", content=body)
        try:
            json.loads(answer.content, parse_constant=refuse)
        except ValueError:
            return answer.status_code, False
        return answer.status_code, True

    with httpx.Client(timeout=TIMEOUT, headers=JSON) as client, ThreadPoolExecutor(4) as pool:
        answers = list(pool.map(send, (next(bodies) for _ in range(number))))
    print(f"malformed: {dict(Counter(status for status, _ in answers))}")
    return {
        "malformed": number,
        "malformed_5xx": sum(status >= 500 for status, _ in answers),
        "malformed_not_json": sum(not good for _, good in answers),
    }


# ---------------------------------------------------------------------------------------------------------- micro-batch


def milliseconds(work: Callable[[], object], repeats: int) -> float:
    """Return the median time of a piece of work."""
    times = []
    for _ in range(repeats):
        started = time.perf_counter()
        work()
        times.append(1000 * (time.perf_counter() - started))
    return statistics.median(times)


def compare_batches(url: str, workers: int, repeats: int) -> dict[str, float]:
    """Read 16 lines as 16 requests at once, as one request for each worker, and in process: ms for all of them."""
    pictures = [PICTURES[number % len(PICTURES)] for number in range(CLIENTS)]
    single = [json.dumps({"inputs": [picture]}) for picture in pictures]
    shared = [json.dumps({"inputs": pictures[number::workers]}) for number in range(workers)]
    recognizer = Recognizer.load(BASE)
    images = [recognizer.line_image(read_image(LINES[number % len(LINES)])) for number in range(CLIENTS)]
    with httpx.Client(timeout=TIMEOUT, headers=JSON) as client, ThreadPoolExecutor(CLIENTS) as pool:

        def post(body: str) -> None:
            client.post(f"{url}/invocations", content=body).raise_for_status()

        return {
            "sixteen_requests_ms": milliseconds(lambda: list(pool.map(post, single)), repeats),
            "a_request_a_worker_ms": milliseconds(lambda: list(pool.map(post, shared)), repeats),
            "one_request_ms": milliseconds(lambda: post(json.dumps({"inputs": pictures})), repeats),
            "one_by_one_in_process_ms": milliseconds(lambda: [recognizer.read([one]) for one in images], repeats),
            "together_in_process_ms": milliseconds(lambda: recognizer.read(images), repeats),
        }


@click.command()
@click.option("--kills", default=10, type=click.IntRange(0))
@click.option("--malformed", default=1000, type=click.IntRange(0))
@click.option("--repeats", default=10, type=click.IntRange(1), help="Of the comparison of batches.")
@click.option("--workers", default=2, type=click.IntRange(1))
@click.option("--seed", default=1, type=int)
def main(kills: int, malformed: int, repeats: int, workers: int, seed: int) -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        mlflow.set_tracking_uri(store := f"sqlite:///{folder}/mlflow.db")
        experiment = mlflow.create_experiment("operation", artifact_location=str(folder / "artifacts"))
        with mlflow.start_run(experiment_id=experiment):
            versions = [register(Recognizer.load(BASE), read_image(path), "", {}) for path in LINES[:2]]
        set_alias(versions[0], ALIAS)
        with served(READER_NAME, workers, store, folder, version=ALIAS) as (port, server):
            url = f"http://127.0.0.1:{port}"
            figures = show(compare_batches(url, workers, repeats))
            figures |= show(move_alias(url))
            figures |= show(send_malformed(url, malformed, seed))
            figures |= show(kill_processes(url, server, kills, seed))
    print(json.dumps({figure: round(value, 3) for figure, value in figures.items()}))


if __name__ == "__main__":
    main()
