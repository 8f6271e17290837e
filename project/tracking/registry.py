"""A trained recogniser -> a registered version of both MLflow models, which differ in what they take and answer."""

import hashlib
import importlib.metadata
import io
import shutil
import tempfile
from pathlib import Path

import mlflow
import numpy as np
import pandas as pd
from mlflow import MlflowClient
from mlflow.entities.model_registry import ModelVersion
from mlflow.exceptions import MlflowException
from mlflow.models import ModelSignature
from mlflow.protos.databricks_pb2 import INVALID_PARAMETER_VALUE, RESOURCE_DOES_NOT_EXIST, ErrorCode
from mlflow.types import ColSpec, ParamSchema, ParamSpec, Schema, TensorSpec
from mlflow.types.schema import Array, Object, Property
from PIL import Image

from project.errors import InputError
from project.recognition.charset import BLANK
from project.recognition.decoding import BEAM_WIDTH
from project.recognition.image import read_image
from project.recognition.line_image import MIN_SIDE
from project.recognition.recognizer import Recognizer

PACKAGE = Path(__file__).parent.parent
BASE = PACKAGE / "base"  # the base model that comes with the project: see its README.md
TEST_INPUTS = PACKAGE / "test_inputs"  # pictures `name.png`, each with its transcription `name.gt.txt`
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
    raise InputError(f"{parameter}: {model_name} has no version {model_version!r} at {where}; {has}")


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


REQUIREMENTS = (
    "joblib",
    "mlflow",
    "numpy",
    "onnx",
    "onnxruntime",
    "pandas",
    "pillow",
    "pillow-heif",
    "pypdfium2",
    "safetensors",
)

DESCRIPTIONS = {
    MODEL_NAME: "Reads a line of handwriting. Input: pixel values (N, 1, H, W), 0 black to 255 white, any H and W of "
    f"at least {MIN_SIDE}. Output: CTC log-probs (N, T, C), index {BLANK} the blank; `mlflow run . -e inferrer` "
    "decodes them.",
    READER_NAME: "Reads a line of handwriting. Input: a column `image` of encoded pictures (PNG, JPEG, TIFF, WebP; in "
    "JSON as base64). Output: `text`, `confidence`, `characters` with their places in px of the picture, "
    "`alternatives`, and `error` where a picture cannot be read.",
}

TEXT, CONFIDENCE = Property("text", "string"), Property("confidence", "double")
READER_SIGNATURE = ModelSignature(
    inputs=Schema([ColSpec("binary", "image")]),
    outputs=Schema(
        [
            ColSpec("string", "text"),
            ColSpec("double", "confidence"),
            ColSpec(
                Array(Object([TEXT, CONFIDENCE, Property("start", "double"), Property("stop", "double")])),
                "characters",
            ),
            ColSpec(Array(Object([TEXT, CONFIDENCE])), "alternatives"),
            ColSpec("string", "error"),
        ]
    ),
    params=ParamSchema(
        [
            ParamSpec("decoder", "string", "best_path"),
            ParamSpec("beam_width", "integer", BEAM_WIDTH),
            ParamSpec("alternatives", "integer", 0),
        ]
    ),
)


def register(recognizer: Recognizer, example: np.ndarray, description: str, tags: dict[str, str]) -> ModelVersion:
    """Log the recogniser as both models of the active run, and register a version of each; returns `MODEL_NAME`'s.

    example: a picture, uint8 (H, W), that goes with the models as their input example. Each version has the other's
    number as a tag; that of the reader comes first, so that a version of `MODEL_NAME` is never without its twin.
    """
    client = mlflow.MlflowClient()
    with tempfile.TemporaryDirectory() as folder:
        files, code = Path(folder, "recognizer"), Path(folder, PACKAGE.name)
        files.mkdir()
        recognizer.save(files)
        for file in PACKAGE.rglob("*.py"):
            copied = code / file.relative_to(PACKAGE)
            copied.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(file, copied)

        def registered(name: str, signature: ModelSignature, input_example: object, tags: dict) -> ModelVersion:
            model = mlflow.pyfunc.log_model(
                name=name,
                python_model=str(PACKAGE / "serving" / f"{name}.py"),  # model from code: no pickle
                artifacts={"recognizer": str(files)},
                code_paths=[str(code)],
                signature=signature,
                input_example=input_example,
                pip_requirements=[f"{required}=={_version(required)}" for required in REQUIREMENTS],
            )
            version = mlflow.register_model(model.model_uri, name, tags=tags)
            client.update_registered_model(name, DESCRIPTIONS[name])
            return client.update_model_version(name, version.version, description)

        pictures, pixels = pd.DataFrame({"image": [_png(example)]}), example[None, None].astype(np.float32)
        reader = registered(READER_NAME, READER_SIGNATURE, pictures, tags)
        tags = tags | {READER_NAME: str(reader.version)}
        version = registered(MODEL_NAME, _tensor_signature(len(recognizer.charset)), pixels, tags)
    client.set_model_version_tag(READER_NAME, reader.version, MODEL_NAME, version.version)
    return version


def register_base() -> ModelVersion:
    """The base model that comes with the project as a version of both models, with the alias `base`; the same weights
    are registered once. Returns that of `MODEL_NAME`.
    """
    digest = hashlib.sha256((BASE / "weights.safetensors").read_bytes()).hexdigest()[:16]
    client = mlflow.MlflowClient()
    versions = client.search_model_versions(f"name = '{MODEL_NAME}' and tag.weights_digest = '{digest}'")
    readers = known_versions(client, READER_NAME)  # somebody may have deleted one
    version = next((version for version in versions if int(version.tags.get(READER_NAME, 0)) in readers), None)
    if not version:
        example = read_image(min(TEST_INPUTS.glob("*.png")))
        description = "Reads real hands, English and French: the base model that comes with the project."
        version = register(Recognizer.load(BASE), example, description, {"run_name": "base", "weights_digest": digest})
    set_alias(version, "base")
    return version


def _tensor_signature(classes: int) -> ModelSignature:
    return ModelSignature(
        inputs=Schema([TensorSpec(np.dtype(np.float32), (-1, 1, -1, -1))]),
        outputs=Schema([TensorSpec(np.dtype(np.float64), (-1, -1, classes))]),
    )


def _png(pixels: np.ndarray) -> bytes:
    with io.BytesIO() as file:
        Image.fromarray(pixels).save(file, "PNG")
        return file.getvalue()


def _version(package: str) -> str:
    """The installed version without its local tag (`+cpu`), which no index has."""
    return importlib.metadata.version(package).split("+")[0]


def load_recognizer(version: ModelVersion) -> Recognizer:
    """Return the recogniser of a registered version."""
    with tempfile.TemporaryDirectory() as folder:
        uri = f"{version_uri(version)}/artifacts/recognizer"
        return Recognizer.load(mlflow.artifacts.download_artifacts(uri, dst_path=folder))
