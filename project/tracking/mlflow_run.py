"""The MLflow run of a training, which survives a killed process and an absent server: epochs are spooled, then sent."""

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
from project.errors import InputError
from project.tracking.run_folder import RunFolder
from project.tracking.store import experiment_id_of

# How long a training waits for an absent server, each epoch. At the start and at the end of a run MLflow's own
# defaults hold: 7 retries, about 4 minutes.
FAIL_FAST = {"MLFLOW_HTTP_REQUEST_TIMEOUT": "10", "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "0"}
MARK = "checkpoint"  # the tag by which a run is found again

log = logging.getLogger(__name__)


@contextmanager
def resumable_run(experiment: str, name: str, question: str, folder: RunFolder) -> Iterator[str]:
    """Activate an MLflow run, a new one or that of the folder; yield its id.

    It ends FINISHED, FAILED if anything raises, KILLED on Ctrl-C. Raise ConnectionError, which says what to do, if the
    tracking server does not answer, or the database cannot be used.
    """
    try:
        mlflow.set_experiment(experiment_id=experiment_id_of(experiment))
        yield start_run(name, question, folder)
        mlflow.end_run()
    except BaseException as error:
        try:
            with fail_fast():
                mlflow.end_run("KILLED" if isinstance(error, KeyboardInterrupt) else "FAILED")
                mlflow.search_experiments(max_results=1)
        except Exception as reason:
            if isinstance(error, Exception) and not isinstance(error, InputError):
                uri = mlflow.get_tracking_uri()
                what, mend = f"the database {uri} cannot be used", "mend this"
                if uri.startswith("http"):
                    what, mend = f"the tracking server at {uri} does not answer", "start the server"
                raise ConnectionError(
                    f"{what}. What was trained is kept: {mend}, then give the same command again in {Path.cwd()} "
                    f"(MLflow: {reason})"
                ) from error
        raise


def start_run(name: str, question: str, folder: RunFolder) -> str:
    """Start the MLflow run, or resume that of the folder; return its id.

    The run's mark is on disk before the run exists: a process that is killed in between leaves no run that nobody
    finds again.
    """
    if folder.mark.exists():
        of_mark = f"tags.{MARK} = '{folder.mark.read_text()}'"
        for run in mlflow.search_runs(filter_string=of_mark, search_all_experiments=True, output_format="list"):
            return mlflow.start_run(run.info.run_id, log_system_metrics=True).info.run_id
    folder.delete()  # of a run that was deleted in MLflow
    with replaced(folder.mark) as path:
        path.write_text(f"{folder.path.name}-{uuid.uuid4().hex}")
    tags = {MARK: folder.mark.read_text()}
    return mlflow.start_run(run_name=name, description=question, tags=tags, log_system_metrics=True).info.run_id


def log_epoch(run_id: str, folder: RunFolder, epoch: int, metrics: dict[str, float], picture: np.ndarray) -> None:
    """Log an epoch to MLflow: its metrics, and a picture (H, W, 4) of what was read. Idempotent.

    What cannot be sent stays in the folder's spool, and goes with a later epoch or by `flush`.
    """
    spooled = folder.spool / f"{epoch:06}.json"
    if not spooled.exists():
        with replaced(spooled.with_suffix(".png")) as path:
            Image.fromarray(picture).save(path)
        with replaced(spooled) as path:
            path.write_text(json.dumps({"step": epoch, "timestamp": int(1000 * time.time()), "metrics": metrics}))
    try:
        with fail_fast():
            flush(run_id, folder)
    except Exception as error:  # HTTP, SQL, S3: whatever the store raises, training goes on
        log.info("epoch %d could not be sent", epoch, exc_info=True)
        log.warning("epoch %d waits in %s: %s", epoch, folder.spool, str(error).split(" (Caused by ")[0])


def flush(run_id: str, folder: RunFolder) -> None:
    """Send the spooled epochs. What the server has is not sent again: the process may have been killed, or the reply
    lost, after it was stored.
    """
    spooled = sorted(folder.spool.glob("*.json"))
    if not spooled:
        return
    client = MlflowClient()
    logged = {metric.step for metric in client.get_metric_history(run_id, "val_cer")}
    images = [file.path for file in client.list_artifacts(run_id, "images") if file.path.endswith(".webp")]
    with_image = {int(path.split("+")[2]) for path in images}  # predictions+step+STEP+...: MLflow's names
    for file in spooled:
        epoch = json.loads(file.read_text())
        step, timestamp = epoch["step"], epoch["timestamp"]
        if step not in logged:
            mlflow.log_metrics(epoch["metrics"], step, synchronous=True, run_id=run_id, timestamp=timestamp)
        if step not in with_image:
            with Image.open(file.with_suffix(".png")) as picture:
                client.log_image(run_id, picture, key="predictions", step=step, timestamp=timestamp, synchronous=True)
        file.with_suffix(".png").unlink(missing_ok=True)
        file.unlink()
    shutil.rmtree(folder.spool)  # with what a killed process was writing there


@contextmanager
def active_or_new_run(experiment: str, name: str) -> Iterator[str]:
    """Yield the id of the active MLflow run, or of a new one in an experiment."""
    if run := mlflow.active_run():
        yield run.info.run_id
        return
    of_project = os.environ.pop("MLFLOW_RUN_ID", None)  # the run of `mlflow run`, which is not the one that is wanted
    try:
        with mlflow.start_run(run_name=name, experiment_id=experiment_id_of(experiment)) as run:
            yield run.info.run_id
    finally:
        if of_project:
            os.environ["MLFLOW_RUN_ID"] = of_project


@contextmanager
def fail_fast() -> Iterator[None]:
    """Let MLflow's calls fail within seconds, not minutes, where nobody answers."""
    before = {name: os.environ.get(name) for name in FAIL_FAST}
    os.environ.update(FAIL_FAST)
    try:
        yield
    finally:
        for name, value in before.items():
            os.environ.pop(name)
            if value is not None:
                os.environ[name] = value
