"""Which version of a registered model is meant, and where its files are. No torch here."""

import tempfile
from pathlib import Path

import mlflow
from mlflow import MlflowClient
from mlflow.entities.model_registry import ModelVersion
from mlflow.exceptions import MlflowException

MODEL_NAME = "cnn_text_identifier"


def find_version(model_version: str, name: str = MODEL_NAME) -> ModelVersion:
    """The registered version that `model_version` names: a number, `latest`, or an alias such as `champion`.

    ValueError if there is none; it lists what there is.
    """
    client = MlflowClient()
    try:
        if model_version.isdigit():
            return client.get_model_version(name, model_version)
        if model_version == "latest":
            return max(client.search_model_versions(f"name = '{name}'"), key=lambda version: int(version.version))
        return client.get_model_version_by_alias(name, model_version)
    except (MlflowException, ValueError) as error:
        raise ValueError(
            f"model_version: {name} has no version {model_version!r} at {mlflow.get_tracking_uri()}; "
            f"{known_versions(client, name)} ({error})"
        ) from error


def known_versions(client: MlflowClient, name: str) -> str:
    """A sentence part: what `model_version` could have been."""
    versions = sorted(int(version.version) for version in client.search_model_versions(f"name = '{name}'"))
    if not versions:
        return "nothing is registered there yet: run the notebook, or `mlflow run .`, first"
    aliases = client.get_registered_model(name).aliases
    return f"it has the versions {versions}, 'latest' and the aliases {aliases}"


def version_uri(version: ModelVersion) -> str:
    """`models:/name/number`: what MLflow's own commands take."""
    return f"models:/{version.name}/{version.version}"


def download_recognizer(version: ModelVersion) -> Path:
    """A local folder with the files that `recognizer.Recognizer.load` reads."""
    folder = tempfile.mkdtemp(prefix="recognizer-")
    return Path(mlflow.artifacts.download_artifacts(f"{version_uri(version)}/artifacts/recognizer", dst_path=folder))
