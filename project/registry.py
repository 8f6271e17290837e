"""Which registered version is meant."""

import mlflow
from mlflow import MlflowClient
from mlflow.entities.model_registry import ModelVersion
from mlflow.exceptions import MlflowException
from mlflow.protos.databricks_pb2 import INVALID_PARAMETER_VALUE, RESOURCE_DOES_NOT_EXIST, ErrorCode

MODEL_NAME = "cnn_text_identifier"  # pixels in, log-probs out
READER_NAME = "handwriting_reader"  # encoded pictures in, texts out
TWINS = {MODEL_NAME: READER_NAME, READER_NAME: MODEL_NAME}


def find_version(model_version: str, model_name: str = MODEL_NAME, parameter: str = "model_version") -> ModelVersion:
    """The version of a registered model that is meant: a number, `latest`, or an alias such as `champion`.

    ValueError if there is none; it lists what there is, and names the parameter by which it was asked for.
    """
    client = MlflowClient()
    try:
        if model_version.isdecimal():
            return client.get_model_version(model_name, model_version)
        if model_version == "latest":
            return client.get_model_version(model_name, str(max(known_versions(client, model_name), default=0)))
        return client.get_model_version_by_alias(model_name, model_version)
    except MlflowException as error:
        if error.error_code not in map(ErrorCode.Name, (RESOURCE_DOES_NOT_EXIST, INVALID_PARAMETER_VALUE)):
            raise
    has = "nothing is registered there yet: run the notebook, or `mlflow run .`, first"
    if versions := known_versions(client, model_name):
        aliases = sorted(client.get_registered_model(model_name).aliases)
        has = f"it has the versions {versions}, the aliases {aliases}, and 'latest'"
    where = mlflow.get_tracking_uri()
    raise ValueError(f"{parameter}: {model_name} has no version {model_version!r} at {where}; {has}")


def version_of_run(run_id: str) -> ModelVersion | None:
    """The version that an MLflow run registered; None if it registered none, or if there is no such run."""
    versions = MlflowClient().search_model_versions(f"name = '{MODEL_NAME}' and run_id = '{run_id}'")
    return versions[0] if versions else None


def known_versions(client: MlflowClient, model_name: str) -> list[int]:
    """The numbers of all versions, in order."""
    return sorted(int(version.version) for version in client.search_model_versions(f"name = '{model_name}'"))


def set_alias(version: ModelVersion, alias: str) -> None:
    """Give an alias to a version and to its twin (see `registration`): of both models it means the same weights.
    Where somebody deleted the twin, to the version alone.
    """
    client = MlflowClient()
    twin_name = TWINS[version.name]
    twin = client.get_model_version(version.name, version.version).tags.get(twin_name)
    if twin and int(twin) in known_versions(client, twin_name):
        client.set_registered_model_alias(twin_name, alias, twin)
    client.set_registered_model_alias(version.name, alias, version.version)


def version_uri(version: ModelVersion) -> str:
    """`models:/name/number`: what MLflow's own commands take."""
    return f"models:/{version.name}/{version.version}"
