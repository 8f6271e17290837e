"""The tracking store that MLflow talks to: a server, or a database of the user's own."""

import functools
import hashlib
import os
import tempfile
import time
from pathlib import Path

import mlflow
from filelock import FileLock
from mlflow import MlflowClient
from mlflow.exceptions import MlflowException
from mlflow.protos.databricks_pb2 import INVALID_PARAMETER_VALUE, RESOURCE_DOES_NOT_EXIST, ErrorCode

NOT_FOUND = tuple(map(ErrorCode.Name, (RESOURCE_DOES_NOT_EXIST, INVALID_PARAMETER_VALUE)))
EXPERIMENT_KIND, MODEL_TRAINING = "mlflow.experimentKind", "custom_model_development"  # as MLflow 3's UI has them
CREATION_TIME = 120  # s: how long another process may take to make the tables of a new database


def open_store() -> None:
    """Connect to the tracking store; of several first commands at once on a new sqlite file one makes the tables, and
    the others wait. (MLflow's own processes take no such lock: they are waited for.)
    """
    _open_store(mlflow.get_tracking_uri())


@functools.cache
def _open_store(uri: str) -> None:
    if not uri.startswith("sqlite:"):
        return
    with machine_lock("tables", uri):
        deadline = time.monotonic() + CREATION_TIME
        while True:
            try:
                MlflowClient().search_experiments(max_results=1)
                return
            except Exception:  # SQLAlchemy's, Alembic's, MLflow's: whatever half-made tables lead to
                if time.monotonic() > deadline or not Path(uri.removeprefix("sqlite:///")).exists():
                    raise
                time.sleep(1)


def machine_lock(name: str, uri: str) -> FileLock:
    """Return a lock among this user's processes on this machine that use the same tracking store."""
    key = hashlib.sha256(f"{os.getuid()} {uri}".encode()).hexdigest()[:16]
    return FileLock(Path(tempfile.gettempdir(), f"mlflow-{name}-{key}.lock"))


def experiment_id_of(experiment: str) -> str:
    """Return the id of an experiment, made where there is none, of the kind that the UI opens as model training."""
    client = MlflowClient()
    with machine_lock("experiments", mlflow.get_tracking_uri()):
        found = client.get_experiment_by_name(experiment)
        experiment_id = found.experiment_id if found else client.create_experiment(experiment)
        mark_as_training(experiment_id)
    return experiment_id


def mark_as_training(experiment_id: str) -> None:
    """Have MLflow's UI open an experiment under "Model training", unless somebody chose a kind for it."""
    client = MlflowClient()
    if EXPERIMENT_KIND not in client.get_experiment(experiment_id).tags:
        client.set_experiment_tag(experiment_id, EXPERIMENT_KIND, MODEL_TRAINING)


def is_not_found(error: MlflowException) -> bool:
    """Return whether MLflow answered that there is no such thing, and not that it could not answer."""
    return error.error_code in NOT_FOUND
