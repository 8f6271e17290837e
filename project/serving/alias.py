"""Follow an alias of the registry: when it moves, serve the version that it means now, without a refused request."""

import asyncio
import difflib
import json
import logging
import shutil
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import mlflow
import numpy as np
from mlflow import MlflowClient

from project.recognition.charset import Charset
from project.recognition.decoding import best_path
from project.serving.request import Answer

if TYPE_CHECKING:
    from project.serving.server import Dispatcher

INTERVAL = 5  # seconds between two looks at the registry
ALIKE = 0.9  # of what was read of the example at registration: another processor may round otherwise
EXAMPLE = "artifacts/recognizer/example.txt"  # in a model's folder: what it reads in its own input example

log = logging.getLogger(__name__)


@dataclass
class Served:
    """What is served: a model's folder on this machine, and where it is in the registry."""

    folder: str
    name: str
    version: str
    alias: str  # that is followed; "" for none
    refused: str = ""  # the version that the alias means but that did not pass, and why

    def described(self) -> dict[str, str]:
        """Return what GET /version answers."""
        return {"name": self.name, "version": self.version, "alias": self.alias, "refused": self.refused}


async def follow(front: "Dispatcher") -> None:
    """Look at the registry every `INTERVAL` seconds, and change over when the alias means another version."""
    tried = front.served.version
    while True:
        await asyncio.sleep(INTERVAL)
        served = front.served
        try:
            found = await asyncio.to_thread(MlflowClient().get_model_version_by_alias, served.name, served.alias)
        except Exception as error:  # HTTP, SQL: whatever the store raises, what is served goes on
            log.warning("the registry does not say which version is %s: %s", served.alias, error)
            continue
        version = str(found.version)
        if version in (served.version, tried):
            continue
        tried = version
        try:
            await change_over(front, version)
        except Exception as error:
            log.exception("version %s is not taken", version)
            front.served.refused = f"version {version}: {error}"


async def change_over(front: "Dispatcher", version: str) -> None:
    """Serve another version from now on. Raise what is wrong with it: then nothing has changed.

    Its workers come one by one, and for each a worker of the version before goes, once that is free. The first has to
    read the version's own example as it was read when it was registered.
    """
    before, started = front.served, time.monotonic()
    folder = await asyncio.to_thread(tempfile.mkdtemp, prefix="served-")
    try:
        uri = f"models:/{before.name}/{version}"
        folder_of_model = await asyncio.to_thread(mlflow.artifacts.download_artifacts, uri, dst_path=folder)
        served = Served(folder_of_model, before.name, version, before.alias)
        first = await front.new_worker(served)
        try:
            body = Path(served.folder, "serving_input_example.json").read_bytes()
            check_example(Path(served.folder), await first.answer(body))
        except BaseException:
            await first.stop()
            raise
    except BaseException:
        await asyncio.to_thread(shutil.rmtree, folder, ignore_errors=True)
        raise
    front.served = served
    front.metrics.set_version(served.name, served.version)
    front.add(first)
    for _ in range(1, front.size):
        await front.replace()
    log.warning("%s %s is version %s now (%.1f s)", served.name, served.alias, version, time.monotonic() - started)


def check_example(folder: Path, answer: Answer) -> None:
    """Raise ValueError if the model in `folder` does not read its own example as it did when it was registered."""
    if answer.status != 200:
        raise ValueError(f"it answered its own example with {answer.status}: {answer.content[:200]!r}")
    (prediction, *_) = json.loads(answer.content)["predictions"]
    if isinstance(prediction, dict):
        text = prediction["text"]
    else:  # log-probs (T, C)
        settings = json.loads((folder / "artifacts/recognizer/recognizer.json").read_text("utf-8"))
        text = Charset(settings["charset"]).decode(best_path(np.array(prediction)))
    expected = (folder / EXAMPLE).read_text("utf-8")
    if difflib.SequenceMatcher(None, expected, text, autojunk=False).ratio() < ALIKE:
        raise ValueError(f"it reads {text!r} in its own example, in which it read {expected!r} when it was registered")
