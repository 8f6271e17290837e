"""Follow an alias of the registry: when it moves, serve the version that it means now, without a refused request."""

import asyncio
import difflib
import json
import logging
import tempfile
import time
from pathlib import Path
from typing import Protocol

import mlflow
import numpy as np
from mlflow import MlflowClient

from project.errors import mask_passwords
from project.recognition.charset import Charset
from project.recognition.decoding import best_path
from project.serving.request import Answer
from project.serving.workers import Served, Worker

INTERVAL = 5  # seconds between two looks at the registry
RETRY_INTERVAL = 600  # seconds until a version that was not taken is tried again
ALIKE = 0.9  # of what was read of the example at registration: another processor may round otherwise
EXAMPLE = "artifacts/recognizer/example.txt"  # in a model's folder: what it reads in its own input example

log = logging.getLogger(__name__)


class Front(Protocol):
    """What `follow` needs of the server's dispatcher."""

    served: Served
    size: int  # workers

    async def new_worker(self, served: Served | None = None) -> Worker:
        """Return a worker that has loaded the version."""

    def serve(self, served: Served, first: Worker) -> None:
        """Serve another version, of which there is a worker already."""

    async def start_worker(self) -> None:
        """Add a worker of the version that is served."""


async def follow(front: Front) -> None:
    """Look at the registry every `INTERVAL` seconds, and change over when the alias means another version."""
    reachable = True  # is the registry
    retry: dict[str, float] = {}  # version -> when it may be tried again, s
    while True:
        await asyncio.sleep(INTERVAL)
        served = front.served
        try:
            found = await asyncio.to_thread(MlflowClient().get_model_version_by_alias, served.name, served.alias)
        except Exception as error:  # HTTP, SQL: whatever the store raises, what is served goes on
            if reachable:
                log.warning("the registry does not say which version is %s: %s", served.alias, mask_passwords(error))
            reachable = False
            continue
        reachable, version = True, str(found.version)
        if version == served.version:
            served.refused = ""
        elif time.monotonic() >= retry.get(version, 0):
            try:
                await change_over(front, version)
            except Exception as error:
                served.refused = f"version {version}: {mask_passwords(error) or type(error).__name__}"
                log.warning("not taken: %s", served.refused)
                retry[version] = time.monotonic() + RETRY_INTERVAL


async def change_over(front: Front, version: str) -> None:
    """Serve another version from now on. Raise what is wrong with it: then nothing has changed.

    Its workers come one by one, and for each a worker of the version before goes, once that is free. The first has to
    read the version's own example as it was read when it was registered.
    """
    before, started = front.served, time.monotonic()
    folder = await asyncio.to_thread(tempfile.TemporaryDirectory, prefix="version-")
    uri = f"models:/{before.name}/{version}"
    model = await asyncio.to_thread(mlflow.artifacts.download_artifacts, uri, dst_path=folder.name)
    served = Served(model, before.name, version, before.alias, downloaded=folder)
    first = await front.new_worker(served)
    try:
        body = Path(model, "serving_input_example.json").read_bytes()
        check_example(Path(model), await first.answer(body))
    except BaseException:
        await first.stop()
        raise
    front.serve(served, first)
    for _ in range(1, front.size):
        await front.start_worker()
    log.warning("%s %s is version %s now (%.1f s)", served.name, served.alias, version, time.monotonic() - started)


def check_example(folder: Path, answer: Answer) -> None:
    """Raise ValueError if the model in `folder` does not read its own example as it did when it was registered.

    Versions registered before November 2026 do not say how they read it: they have to read anything in it.
    """
    if answer.status != 200:
        raise ValueError(f"it answered its own example with {answer.status}: {answer.content[:200]!r}")
    (prediction, *_) = json.loads(answer.content)["predictions"]
    if isinstance(prediction, dict):
        text = prediction["text"]
    else:  # log-probs (T, C)
        settings = json.loads((folder / "artifacts/recognizer/recognizer.json").read_text("utf-8"))
        text = Charset(settings["charset"]).decode(best_path(np.array(prediction)))
    example = folder / EXAMPLE
    expected = example.read_text("utf-8") if example.exists() else text
    if not text or difflib.SequenceMatcher(None, expected, text, autojunk=False).ratio() < ALIKE:
        raise ValueError(f"it reads {text!r} in its own example, in which it read {expected!r} when it was registered")
