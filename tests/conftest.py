"""What several tests share: a real tracking server, a checkout with its trained versions, and a served version."""

import os
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import mlflow
import pandas as pd
import pytest
import xmlschema
from PIL import Image, ImageDraw, ImageFont

from project.tracking import registry

os.environ.setdefault("OMP_WAIT_POLICY", "passive")  # before torch comes: servers and trainings share the cores
ROOT = Path(__file__).parent.parent
SCHEMAS = ROOT / "tests" / "pages" / "schemas"
HANDED_OVER = ("text_image.*", "prediction.*")  # what the walk through this checkout may have left
MLFLOW = [sys.executable, "-m", "mlflow"]
WORDS = ("a", "to", "be", "bell", "table", "boat", "lot", "at", "ballot", "toe")


@pytest.fixture(scope="session")
def schemas() -> dict[str, xmlschema.XMLSchema]:
    """Return the schemas of PAGE and ALTO."""
    local = {"http://www.w3.org/1999/xlink": str(SCHEMAS / "xlink.xsd")}
    return {
        "page": xmlschema.XMLSchema(SCHEMAS / "page.xsd"),
        "alto": xmlschema.XMLSchema(SCHEMAS / "alto-4-2.xsd", locations=local, allow="local"),
    }


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


@contextmanager
def serving(command: list[str], health: str, folder: Path, **environment: str) -> Iterator[subprocess.Popen]:
    """Run a server in a process group of its own until `health` answers, and end the whole group afterwards."""
    environment = {**os.environ, **environment}
    with (folder / "server.log").open("w") as log:
        server = subprocess.Popen(command, cwd=folder, env=environment, stdout=log, stderr=log, start_new_session=True)
    try:
        for _ in range(600):
            assert server.poll() is None, (folder / "server.log").read_text()
            try:
                urllib.request.urlopen(health, timeout=1)
                break
            except (urllib.error.URLError, OSError):
                time.sleep(0.2)
        else:
            raise TimeoutError(f"{health} did not answer: {(folder / 'server.log').read_text()}")
        yield server
    finally:
        with suppress(ProcessLookupError):
            os.killpg(server.pid, signal.SIGTERM)
        server.wait(30)


@pytest.fixture(scope="session", autouse=True)
def of_this_python(tmp_path_factory) -> None:
    """`python` in MLproject is the one that runs the tests, and the user's cache is left alone."""
    os.environ["PATH"] = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    os.environ["XDG_CACHE_HOME"] = str(tmp_path_factory.mktemp("cache"))


@pytest.fixture(scope="module", autouse=True)
def of_this_code() -> Iterator[None]:
    """A model that is loaded puts its own copy of `project` before ours, for processes that are started later, too."""
    before = list(sys.path)
    yield
    sys.path[:] = before


@pytest.fixture(autouse=True)
def of_no_experiment() -> Iterator[None]:
    """`mlflow.set_experiment` chooses for all processes that are started later, too: for none of another test."""
    os.environ.pop("MLFLOW_EXPERIMENT_ID", None)
    yield
    os.environ.pop("MLFLOW_EXPERIMENT_ID", None)


@pytest.fixture(scope="session")
def tracking_server(tmp_path_factory) -> Iterator[str]:
    """The URI of a real MLflow server, set for the client as well."""
    folder, port = tmp_path_factory.mktemp("mlflow"), free_port()
    command = [*MLFLOW, "server", "--host", "127.0.0.1", "--port", str(port), "--workers", "1"]
    with serving(command, f"http://127.0.0.1:{port}/health", folder, MLFLOW_SERVER_ENABLE_JOB_EXECUTION="false"):
        os.environ["MLFLOW_TRACKING_URI"] = uri = f"http://127.0.0.1:{port}"
        mlflow.set_tracking_uri(uri)
        yield uri
        mlflow.set_tracking_uri(None)
        os.environ.pop("MLFLOW_TRACKING_URI", None)


@pytest.fixture(scope="session")
def checkout(tmp_path_factory) -> Path:
    """What a user has after `git clone`, in a folder that tests may write to."""
    folder = tmp_path_factory.mktemp("checkout")
    for name in ("MLproject", "python_env.yaml", "requirements.txt", "handwriting_classifier.ipynb"):
        shutil.copy(ROOT / name, folder)
    shutil.copytree(ROOT / "project", folder / "project", ignore=shutil.ignore_patterns("__pycache__", *HANDED_OVER))
    (folder / ".gitignore").write_text((ROOT / ".gitignore").read_text())
    git = ["git", "-c", "user.name=A Tester", "-c", "user.email=tester@example.com"]
    for arguments in (["init", "-q"], ["add", "-A"], ["commit", "-qm", "As cloned"]):
        subprocess.run([*git, *arguments], cwd=folder, check=True)
    return folder


@pytest.fixture(scope="session")
def trained(tracking_server, checkout) -> str:
    """`mlflow run .` as a user types it, with small parameters: what it printed."""
    command = [*MLFLOW, "run", ".", "--env-manager", "local", "--experiment-name", "mlp"]
    command += ["-P", "epochs=2", "-P", "train_lines=400"]
    environment = {**os.environ, "MLFLOW_SYSTEM_METRICS_SAMPLING_INTERVAL": "1"}  # such a run is over in seconds
    ran = subprocess.run(command, cwd=checkout, env=environment, capture_output=True, text=True)
    assert ran.returncode == 0, ran.stdout + ran.stderr
    return ran.stdout


@pytest.fixture(scope="session")
def served(trained, checkout, tmp_path_factory) -> Iterator[int]:
    """The port at which `mlflow run . -e serve_model` serves the champion."""
    port = free_port()
    command = [*MLFLOW, "run", str(checkout), "-e", "serve_model", "--env-manager", "local"]
    command += ["--experiment-name", "mlp", "-P", f"port={port}"]
    with serving(command, f"http://127.0.0.1:{port}/ping", tmp_path_factory.mktemp("served")):
        yield port


@pytest.fixture(scope="session")
def table(tmp_path_factory) -> Path:
    """30 written words: 24 in train, 3 in validation, 3 in test; some rows cannot be used."""
    folder = tmp_path_factory.mktemp("table")
    rows = []
    for number, text in enumerate(WORDS * 3):
        picture = Image.new("L", (20 + 14 * len(text), 40), 235)
        ImageDraw.Draw(picture).text((8, 4), text, fill=20, font=ImageFont.load_default(24 + number % 4))
        picture.save(folder / f"{number}.png")
        split = "train" if number < 24 else "validation" if number < 27 else "test"
        rows.append({"image": f"{number}.png", "text": text, "split": split, "writer": f"hand {number % 7}"})
    rows.insert(24, {"image": "missing.png", "text": "table", "split": "validation", "writer": "hand 9"})
    rows.insert(28, {"image": "0.png", "text": "ß", "split": "test", "writer": "hand 9"})
    pd.DataFrame(rows).to_csv(folder / "words.csv", index=False)
    return folder / "words.csv"


@contextmanager
def at(uri: str) -> Iterator[None]:
    """The client talks to this tracking store."""
    before = mlflow.get_tracking_uri()
    mlflow.set_tracking_uri(uri)
    try:
        yield
    finally:
        mlflow.set_tracking_uri(before)


@pytest.fixture(scope="session")
def base_store(tmp_path_factory) -> str:
    """The URI of a tracking store of its own, without a server, in which the base model is registered."""
    from project.tracking.registry import register_base

    folder = tmp_path_factory.mktemp("base")
    with at(f"sqlite:///{folder}/mlflow.db"):
        experiment = mlflow.MlflowClient().create_experiment("base", artifact_location=str(folder / "artifacts"))
        with mlflow.start_run(experiment_id=experiment):
            register_base()
    return f"sqlite:///{folder}/mlflow.db"


@pytest.fixture(scope="session")
def models(base_store) -> dict[str, str]:
    """The folder of each registered model of the base, by its name."""
    with at(base_store):
        return {name: mlflow.artifacts.download_artifacts(f"models:/{name}@base") for name in registry.TWINS}
