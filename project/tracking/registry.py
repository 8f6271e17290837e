"""Versions of the registered models: registered, found, checked, loaded.

Each recogniser is a version of both models, twins: each has the other's number as a tag.
"""

import hashlib
import itertools
import tempfile
import time
from pathlib import Path

import mlflow
import numpy as np
from mlflow import MlflowClient
from mlflow.data.code_dataset_source import CodeDatasetSource
from mlflow.data.meta_dataset import MetaDataset
from mlflow.entities.model_registry import ModelVersion
from mlflow.exceptions import MlflowException

from project.errors import InputError
from project.recognition.image import read_image
from project.recognition.recognizer import Recognizer
from project.tracking import mlflow_run
from project.tracking.logged_models import DESCRIPTIONS, MODEL_NAME, PACKAGE, READER_NAME, log_models
from project.tracking.store import is_not_found, open_store

BASE = PACKAGE / "base"  # the base model that comes with the project: see its README.md
CARD_METRICS = "## What it reads\n"  # in that README, from here on it is written by `pretrain`
TEST_INPUTS = PACKAGE / "test_inputs"  # pictures `name.png`, each with its transcription `name.gt.txt`
TWINS = {MODEL_NAME: READER_NAME, READER_NAME: MODEL_NAME}
FILES = {"recognizer.json", "weights.safetensors"}  # without which no recogniser is loaded
CHECKPOINT = "runs:/"  # a run's id, / and an epoch: what a training may start from
START_HELP = 'Nothing, "base", a version (a number, latest, an alias), or runs:/RUN_ID/EPOCH.'


# ------------------------------------------------------------------------------------------------------- register


def register(recognizer: Recognizer, example: np.ndarray, description: str, tags: dict[str, str]) -> ModelVersion:
    """Log a recogniser as both models of the active run, and register a version of each; return that of `MODEL_NAME`.

    example: a picture, uint8 (H, W), that goes with the models as their input example. The reader's version comes
    first, so that a version of `MODEL_NAME` is never without its twin.
    """
    client = MlflowClient()
    versions: dict[str, ModelVersion] = {}
    for name, model in log_models(recognizer, example).items():
        twins = {twin: str(version.version) for twin, version in versions.items()}
        version = mlflow.register_model(model.model_uri, name, tags=tags | twins)
        client.update_registered_model(name, DESCRIPTIONS[name])
        versions[name] = client.update_model_version(name, version.version, description)
    client.set_model_version_tag(READER_NAME, versions[READER_NAME].version, MODEL_NAME, versions[MODEL_NAME].version)
    return versions[MODEL_NAME]


def register_base() -> ModelVersion:
    """Register the base model as a version of both models, with the alias `base`; the same weights only once. Return
    the version of `MODEL_NAME`.
    """
    open_store()
    digest = hashlib.sha256((BASE / "weights.safetensors").read_bytes()).hexdigest()[:16]
    client = MlflowClient()
    versions = client.search_model_versions(f"name = '{MODEL_NAME}' and tag.weights_digest = '{digest}'")
    readers = known_versions(client, READER_NAME)  # somebody may have deleted one
    version = next((version for version in versions if int(version.tags.get(READER_NAME, 0)) in readers), None)
    if not version:
        example = read_image(min(TEST_INPUTS.glob("*.png")))
        description = "Reads real hands, English and French: the base model that comes with the project."
        tags = {"run_name": "base", "weights_digest": digest}
        with mlflow_run.active_or_new_run("base-model", "base") as run_id:
            version = register(Recognizer.load(BASE), example, description, tags)
            log_base_metrics(run_id, version)
    set_alias(version, "base")
    return version


def log_base_metrics(run_id: str, version: ModelVersion) -> None:
    """Log the first table of `CARD_METRICS` in the base model's card to its models: the metrics on the test lines of
    each data set, those of the beam with the suffix `_beam`.
    """
    lines = (BASE / "README.md").read_text("utf-8").partition(CARD_METRICS)[2].splitlines()
    first = itertools.takewhile(bool, itertools.dropwhile(lambda line: not line.startswith("|"), lines))
    table = [[cell.strip() for cell in line.split("|")[1:-1]] for line in first]
    header, _, *rows = table or [[], []]
    now = int(1000 * time.time())
    for number, row in enumerate(rows):
        cells = dict(zip(header, row, strict=True))
        source = CodeDatasetSource({"mlflow.source.name": f"project/{BASE.name}/README.md"})
        dataset = MetaDataset(source, name=f"{cells['data set']} test")  # type: ignore[abstract]
        suffix = "_beam" if cells["decoder"] == "beam" else ""
        metrics = {f"test_{name}{suffix}": float(cells[name]) for name in ("cer", "wer", "ece")}
        for model_id in model_ids(version):
            mlflow.log_metrics(metrics, timestamp=now + number, run_id=run_id, model_id=model_id, dataset=dataset)


def set_alias(version: ModelVersion, alias: str) -> None:
    """Give an alias to a version and to its twin, so that it means the same weights in both models. Where somebody
    deleted the twin, to the version alone.
    """
    client = MlflowClient()
    if twin := twin_of(version):
        client.set_registered_model_alias(twin.name, alias, twin.version)
    client.set_registered_model_alias(version.name, alias, version.version)


# ------------------------------------------------------------------------------------------------------------ find


def find_version(model_version: str, model_name: str = MODEL_NAME, parameter: str = "model_version") -> ModelVersion:
    """Find a version of a registered model: a number, `latest`, or an alias such as `champion`. `base` is registered
    first where it is not yet.

    Raise InputError if there is none; it lists those that exist, and names the parameter that asked for it.
    """
    open_store()
    client = MlflowClient()
    try:
        if model_version.isdecimal():
            return client.get_model_version(model_name, model_version)
        if model_version == "latest":
            return client.get_model_version(model_name, str(max(known_versions(client, model_name), default=0)))
        return client.get_model_version_by_alias(model_name, model_version)
    except MlflowException as error:
        if not is_not_found(error):
            raise
    if model_version == "base" and model_name in TWINS:
        register_base()
        return client.get_model_version_by_alias(model_name, "base")
    has = "nothing is registered there yet: run the notebook, or `mlflow run .`, first; or take the version base"
    if versions := known_versions(client, model_name):
        aliases = sorted(client.get_registered_model(model_name).aliases)
        has = f"it has the versions {versions}, the aliases {aliases}, and 'latest'"
    where = mlflow.get_tracking_uri()
    raise InputError(f"{parameter}: {model_name} has no version {model_version!r} at {where}; {has}")


def version_of_run(run_id: str) -> ModelVersion | None:
    """Return the version that an MLflow run registered; None if it registered none, or if there is no such run."""
    versions = MlflowClient().search_model_versions(f"name = '{MODEL_NAME}' and run_id = '{run_id}'")
    return versions[0] if versions else None


def known_versions(client: MlflowClient, model_name: str) -> list[int]:
    """Return the numbers of all versions, in order."""
    return sorted(int(version.version) for version in client.search_model_versions(f"name = '{model_name}'"))


def twin_of(version: ModelVersion) -> ModelVersion | None:
    """Return the version of the other model that has the same weights; None if there is none, or no longer."""
    client, name = MlflowClient(), TWINS[version.name]
    number = client.get_model_version(version.name, version.version).tags.get(name)
    return client.get_model_version(name, number) if number and int(number) in known_versions(client, name) else None


def model_ids(version: ModelVersion) -> list[str]:
    """Return the ids of the logged models of a version and of its twin, where they were logged as such (MLflow 3)."""
    sources = [one.source or "" for one in (version, twin_of(version)) if one]  # on a database `model_id` is None
    return [source.removeprefix("models:/") for source in sources if source.startswith("models:/m-")]


def version_uri(version: ModelVersion) -> str:
    """Return `models:/name/number`, which MLflow's own commands take."""
    return f"models:/{version.name}/{version.version}"


# ------------------------------------------------------------------------------------------------------------ load


def check_version(version: ModelVersion) -> None:
    """Raise InputError if a version is not one of this project's recognisers, or if its files are gone."""
    try:
        files = mlflow.artifacts.list_artifacts(f"{version_uri(version)}/artifacts/recognizer")
    except MlflowException as error:
        if not is_not_found(error):
            raise
        files = []
    if missing := FILES - {Path(file.path).name for file in files}:
        aliases = ", ".join(version.aliases)
        raise InputError(
            f"{version.name} version {version.version}{f' ({aliases})' if aliases else ''} cannot be read: "
            f"{' and '.join(sorted(missing))} not found in {version.source}. It was not registered by this project, or "
            "its files were deleted. Delete the version, or give its alias to another one"
        )


def load_recognizer(version: ModelVersion) -> Recognizer:
    """Return the recogniser of a registered version. Raise InputError if it has none."""
    check_version(version)
    return _download_recognizer(version_uri(version))


def load_logged_recognizer(model_id: str) -> Recognizer:
    """Return the recogniser of a logged model that need not be registered."""
    return _download_recognizer(MlflowClient().get_logged_model(model_id).artifact_location)


def load_start(start_from: str) -> Recognizer | None:
    """Return what a training starts from: None for "", the base model for "base", the checkpoint of an epoch for
    "runs:/RUN_ID/EPOCH" (see `experiment.log_checkpoint`), else a registered version. Raise InputError if there is no
    such thing.
    """
    if not start_from:
        return None
    if start_from == "base":
        return Recognizer.load(BASE)
    if start_from.startswith(CHECKPOINT):
        run_id, _, epoch = start_from.removeprefix(CHECKPOINT).partition("/")
        models = checkpoints_of(run_id)
        if not epoch.isdecimal() or int(epoch) not in models:
            has = f"it has those of the epochs {sorted(models)}" if models else "it has none (see checkpoints=registry)"
            raise InputError(f"start_from: the run {run_id!r} has no checkpoint of the epoch {epoch!r}; {has}")
        return load_logged_recognizer(models[int(epoch)])
    return load_recognizer(find_version(start_from, parameter="start_from"))


def _download_recognizer(model: str) -> Recognizer:
    with tempfile.TemporaryDirectory() as folder:
        return Recognizer.load(mlflow.artifacts.download_artifacts(f"{model}/artifacts/recognizer", dst_path=folder))


def checkpoints_of(run_id: str) -> dict[int, str]:
    """Return the logged models of a run by their step, those of step 0 left out, which are no checkpoints."""
    try:
        outputs = MlflowClient().get_run(run_id).outputs
    except MlflowException as error:
        if not is_not_found(error):
            raise
        return {}
    return {output.step: output.model_id for output in (outputs.model_outputs if outputs else []) if output.step}
