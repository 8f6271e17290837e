"""What MLflow is told while a network trains, even when nobody listens: kept on disk first, then sent."""

import json
import logging
import os
import shutil
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import mlflow
import numpy as np
from mlflow import MlflowClient
from PIL import Image

from project.atomic import replaced

# How long training waits for a server that is gone, each epoch. At the start and at the end of a run MLflow's own
# patience holds: 7 retries, about 4 minutes.
IMPATIENCE = {"MLFLOW_HTTP_REQUEST_TIMEOUT": "10", "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "0"}
MARK = "checkpoint"  # the tag by which a run is found again

log = logging.getLogger(__name__)


@contextmanager
def resumable_run(experiment: str, name: str, question: str, checkpoint: Path) -> Iterator[str]:
    """An active MLflow run, new or the one that `checkpoint` belongs to; yields its id.

    It ends FINISHED, FAILED if anything raises, KILLED on Ctrl-C. ConnectionError, which says what to do, if the
    tracking server does not answer.
    """
    try:
        mlflow.set_experiment(experiment)
        yield start_run(name, question, checkpoint)
        mlflow.end_run()
    except BaseException as error:
        try:
            with fail_fast():
                mlflow.end_run("KILLED" if isinstance(error, KeyboardInterrupt) else "FAILED")
                mlflow.search_experiments(max_results=1)
        except Exception as reason:
            if isinstance(error, Exception) and not isinstance(error, ValueError):
                raise ConnectionError(
                    f"the tracking server at {mlflow.get_tracking_uri()} does not answer. What was trained is kept: "
                    f"start the server, then give the same command again in {Path.cwd()} (MLflow: {reason})"
                ) from error
        raise


def start_run(name: str, question: str, checkpoint: Path) -> str:
    """Start the MLflow run, or take up the one that `checkpoint` belongs to; returns its id.

    The run's mark is on disk before the run is made: a process that is killed in between leaves no run behind that
    nobody knows of.
    """
    kept = checkpoint.with_suffix(".run")
    if kept.exists():
        of_mark = f"tags.{MARK} = '{kept.read_text()}'"
        for run in mlflow.search_runs(filter_string=of_mark, search_all_experiments=True, output_format="list"):
            return mlflow.start_run(run.info.run_id, log_system_metrics=True).info.run_id
    delete(checkpoint)  # of a run that was deleted
    with replaced(kept) as path:
        path.write_text(f"{checkpoint.stem}-{uuid.uuid4().hex}")
    tags = {MARK: kept.read_text()}
    return mlflow.start_run(run_name=name, description=question, tags=tags, log_system_metrics=True).info.run_id


def log_epoch(run_id: str, checkpoint: Path, epoch: int, figures: dict[str, float], picture: np.ndarray) -> None:
    """Tell MLflow of an epoch: its figures, and a picture (H, W, 4) of what was read. Once, however often it is told.

    What cannot be sent waits beside `checkpoint`, and goes with a later epoch or by `flush`.
    """
    waiting = spool(checkpoint) / f"{epoch:06}.json"
    if not waiting.exists():
        with replaced(waiting.with_suffix(".png")) as path:
            Image.fromarray(picture).save(path)
        with replaced(waiting) as path:
            path.write_text(json.dumps({"step": epoch, "timestamp": int(1000 * time.time()), "metrics": figures}))
    try:
        with fail_fast():
            flush(run_id, checkpoint)
    except Exception as error:  # HTTP, SQL, S3: whatever the store raises, training goes on
        log.info("epoch %d could not be sent", epoch, exc_info=True)
        log.warning("epoch %d waits in %s: %s", epoch, spool(checkpoint), str(error).split(" (Caused by ")[0])


def flush(run_id: str, checkpoint: Path) -> None:
    """Send the epochs that wait beside `checkpoint`. What the server has already is not sent again: the process may
    have been killed, or the answer lost, after it was stored.
    """
    waiting = sorted(spool(checkpoint).glob("*.json"))
    if not waiting:
        return
    client = MlflowClient()
    told = {metric.step for metric in client.get_metric_history(run_id, "val_cer")}
    shown = {file.path.split("+")[2] for file in client.list_artifacts(run_id, "images") if file.path.endswith(".webp")}
    for path in waiting:
        epoch = json.loads(path.read_text())
        step, timestamp = epoch["step"], epoch["timestamp"]
        if step not in told:
            mlflow.log_metrics(epoch["metrics"], step, synchronous=True, run_id=run_id, timestamp=timestamp)
        if str(step) not in shown:
            with Image.open(path.with_suffix(".png")) as picture:
                client.log_image(run_id, picture, key="predictions", step=step, timestamp=timestamp, synchronous=True)
        path.with_suffix(".png").unlink(missing_ok=True)
        path.unlink()
    shutil.rmtree(spool(checkpoint))  # with what a killed process was writing there


def spool(checkpoint: Path) -> Path:
    """The folder of the epochs that wait to be sent."""
    return checkpoint.with_suffix(".unsent")


def delete(checkpoint: Path) -> None:
    """Delete what is kept of a run."""
    checkpoint.unlink(missing_ok=True)
    checkpoint.with_suffix(".run").unlink(missing_ok=True)
    checkpoint.with_suffix(".done").unlink(missing_ok=True)
    shutil.rmtree(spool(checkpoint), ignore_errors=True)


@contextmanager
def fail_fast() -> Iterator[None]:
    """MLflow's calls within fail after seconds, not minutes, where nobody answers."""
    before = {name: os.environ.get(name) for name in IMPATIENCE}
    os.environ.update(IMPATIENCE)
    try:
        yield
    finally:
        for name, value in before.items():
            os.environ.pop(name)
            if value is not None:
                os.environ[name] = value
