"""A trained recogniser -> the two models that MLflow logs of it, which differ in what they take and return."""

import importlib.metadata
import io
import shutil
import tempfile
from collections.abc import Sequence
from pathlib import Path

import mlflow
import numpy as np
import pandas as pd
from mlflow.models import ModelSignature
from mlflow.models.model import ModelInfo
from mlflow.types import ColSpec, ParamSchema, ParamSpec, Schema, TensorSpec
from mlflow.types.schema import Array, Object, Property
from PIL import Image

from project.recognition.charset import BLANK
from project.recognition.decoding import BEAM_WIDTH
from project.recognition.line_image import MIN_SIDE
from project.recognition.recognizer import Recognizer

PACKAGE = Path(__file__).parent.parent
MODEL_SCRIPT = PACKAGE / "serving" / "model_script.py"
MODEL_NAME = "cnn_text_identifier"  # pixels in, log-probs out
READER_NAME = "handwriting_reader"  # encoded pictures in, texts out
READS_LINES = (  # neither torch nor what else a training needs
    "joblib",
    "mlflow",
    "numpy",
    "onnx",
    "onnxruntime",
    "pandas",
    "pillow",
    "pillow-heif",
    "pypdfium2",
    "python-bidi",
    "safetensors",
)
READS_PAGES = ("opencv-python-headless", "rapidocr")  # the text detector is a file in the wheel of the second
REQUIREMENTS = {MODEL_NAME: READS_LINES, READER_NAME: READS_LINES + READS_PAGES}

DESCRIPTIONS = {
    MODEL_NAME: "Reads a line of handwriting. Input: pixel values (N, 1, H, W), 0 black to 255 white, any H and W of "
    f"at least {MIN_SIDE}. Output: CTC log-probs (N, T, C), index {BLANK} the blank; `mlflow run . -e inferrer` "
    "decodes them.",
    READER_NAME: "Reads a line or a page of handwriting. Input: a column `image` of encoded pictures (PNG, JPEG, TIFF, "
    "WebP; in JSON as base64). Output: `text`, of a page with line breaks, `confidence`, `lines` with their words and "
    "characters and the places of all in px of the picture, `layout`, `turn` (degrees clockwise until it is upright), "
    "and `error` where a picture cannot be read; of a line also `characters` and `alternatives`. "
    "Parameter `layout`: auto, line or page.",
}

TEXT, CONFIDENCE = Property("text", "string"), Property("confidence", "double")
PLACES = Array(Array("long"))  # points (x, y), px
PLACED = Array(Object([TEXT, CONFIDENCE, Property("outline", PLACES)]))
ALTERNATIVES = Array(Object([TEXT, CONFIDENCE]))
LINES = Array(
    Object(
        [
            TEXT,
            CONFIDENCE,
            Property("outline", PLACES),
            Property("baseline", PLACES),
            Property("region", "long"),
            Property("words", PLACED),
            Property("characters", PLACED),
            Property("alternatives", ALTERNATIVES),
        ]
    )
)
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
            ColSpec(ALTERNATIVES, "alternatives"),
            ColSpec("string", "error"),
            ColSpec("string", "layout"),
            ColSpec("double", "turn"),
            ColSpec(LINES, "lines"),
        ]
    ),
    params=ParamSchema(
        [
            ParamSpec("decoder", "string", "best_path"),
            ParamSpec("beam_width", "integer", BEAM_WIDTH),
            ParamSpec("alternatives", "integer", 0),
            ParamSpec("layout", "string", "auto"),
        ]
    ),
)


def log_models(
    recognizer: Recognizer, example: np.ndarray, step: int = 0, names: Sequence[str] = (READER_NAME, MODEL_NAME)
) -> dict[str, ModelInfo]:
    """Log a recogniser as models of the active run, each with its code; return them by name.

    example: a picture, uint8 (H, W), that goes with the models as their input example. step: of the training.
    """
    pixels, pictures = example[None, None].astype(np.float32), pd.DataFrame({"image": [png(example)]})
    with tempfile.TemporaryDirectory() as folder:
        files, code = Path(folder, "recognizer"), Path(folder, PACKAGE.name)
        files.mkdir()
        recognizer.save(files)
        (text,) = recognizer.read([recognizer.line_image(example)])
        (files / "example.txt").write_text(text, "utf-8")  # a server that follows an alias asks for it again
        copy_code(code)

        def log_model(name: str, signature: ModelSignature, input_example: object) -> ModelInfo:
            return mlflow.pyfunc.log_model(
                name=name,
                python_model=str(shutil.copy(MODEL_SCRIPT, Path(folder, f"{name}.py"))),  # from code: no pickle
                artifacts={"recognizer": str(files)},
                code_paths=[str(code)],
                signature=signature,
                input_example=input_example,
                pip_requirements=[f"{package}=={installed_version(package)}" for package in REQUIREMENTS[name]],
                step=step,
            )

        inputs = {
            READER_NAME: (READER_SIGNATURE, pictures),
            MODEL_NAME: (tensor_signature(len(recognizer.charset)), pixels),
        }
        return {name: log_model(name, *inputs[name]) for name in names}


def copy_code(folder: Path) -> None:
    """Copy the project's Python files, and the page that a server shows, into a folder."""
    for file in (*PACKAGE.rglob("*.py"), *PACKAGE.glob("serving/*.html")):
        copied = folder / file.relative_to(PACKAGE)
        copied.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(file, copied)


def tensor_signature(classes: int) -> ModelSignature:
    """Return the signature of the model that takes pixels, for a charset of so many classes, the blank included."""
    return ModelSignature(
        inputs=Schema([TensorSpec(np.dtype(np.float32), (-1, 1, -1, -1))]),
        outputs=Schema([TensorSpec(np.dtype(np.float64), (-1, -1, classes))]),
    )


def png(pixels: np.ndarray) -> bytes:
    """Encode a picture, uint8 (H, W)."""
    with io.BytesIO() as file:
        Image.fromarray(pixels).save(file, "PNG")
        return file.getvalue()


def installed_version(package: str) -> str:
    """Return the installed version of a package without its local tag (`+cpu`), which no index has."""
    return importlib.metadata.version(package).split("+")[0]
