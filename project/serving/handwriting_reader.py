"""The script that MLflow stores with each version of `handwriting_reader` and runs to load it (model from code)."""

from collections.abc import Sequence

import mlflow
import pandas as pd
from mlflow.exceptions import MlflowException
from mlflow.protos.databricks_pb2 import INVALID_PARAMETER_VALUE
from mlflow.pyfunc import PythonModelContext

from project.errors import InputError
from project.recognition.decoding import DECODERS
from project.recognition.image import picture_bytes, read_image
from project.recognition.line_image import Placement
from project.recognition.recognizer import Reading, Recognizer

AT_ONCE = 32  # pictures that are held decoded and read together: it bounds the memory of a large table
MAX_LABELS = {"beam_width": 100, "alternatives": 100}  # more takes minutes a line, and a server must come to an end
COLUMNS = ("text", "confidence", "characters", "alternatives", "error")
DIGITS = 4  # of a confidence, and of a tiny one too: lines are ranked by it


class HandwritingReader(mlflow.pyfunc.PythonModel):
    """Encoded pictures of lines in the column `image` -> a table of what is written in them: `COLUMNS`.

    A picture that cannot be read spoils no other: its text is empty, its confidence 0, and `error` says why; elsewhere
    `error` is empty. Nothing is None, of which JSON, Spark and CSV would each make something else. A parameter that is
    not allowed is answered with status 400.
    """

    def load_context(self, context: PythonModelContext) -> None:
        self.recognizer = Recognizer.load(context.artifacts["recognizer"])

    def predict(
        self, context: PythonModelContext, model_input: pd.DataFrame, params: dict | None = None
    ) -> pd.DataFrame:
        answers = self.answers(list(model_input["image"]), params)
        return pd.DataFrame(answers, model_input.index, columns=COLUMNS)  # each beside its picture

    def answers(self, pictures: Sequence, params: dict) -> list[dict]:
        """The rows of that table, without the time that a table takes: for `invocation`."""
        try:
            check(**params)
        except ValueError as error:
            raise MlflowException(str(error), error_code=INVALID_PARAMETER_VALUE) from None
        rows = []
        for start in range(0, len(pictures), AT_ONCE):
            rows += read_pictures(self.recognizer, pictures[start : start + AT_ONCE], **params)
        return rows


def check(decoder: str, **counts: int) -> None:
    """ValueError if a parameter is not one that `Recognizer.transcribe` takes, or would take too long."""
    if decoder not in DECODERS:
        raise InputError(f"decoder must be one of {sorted(DECODERS)}; got {decoder[:20]!r}")
    for name, count in counts.items():
        least = int(name == "beam_width")
        if not least <= count <= MAX_LABELS[name]:
            raise InputError(f"{name} must be from {least} to {MAX_LABELS[name]}; got {count}")


def read_pictures(recognizer: Recognizer, pictures: Sequence, **params) -> list[dict]:
    """A row (see `COLUMNS`) for each encoded picture (see `images.picture_bytes`); params are those of `transcribe`."""
    rows, readable = [empty_row() for _ in pictures], []
    for row, picture in zip(rows, pictures, strict=True):
        try:
            readable.append((row, *recognizer.normalize_with_placement(read_image(picture_bytes(picture)))))
        except ValueError as error:
            row["error"] = str(error)
    line_images = [line_image for _, line_image, _ in readable]
    for (row, line_image, place), reading in zip(readable, recognizer.transcribe(line_images, **params), strict=True):
        row.update(filled_row(reading, place, line_image.shape[2]))
    return rows


def empty_row() -> dict:
    """What is said of a picture that was not read."""
    return {"text": "", "confidence": 0.0, "characters": [], "alternatives": [], "error": ""}


def filled_row(reading: Reading, place: Placement, width: int) -> dict:
    """A reading, its characters placed in px of the picture. width: that of the line image, px."""
    return {
        "text": reading.text,
        "confidence": _rounded(reading.confidence),
        "characters": [
            {
                "text": character.text,
                "confidence": _rounded(character.confidence),
                "start": round(place.left + place.scale * character.start, 1),
                "stop": round(place.left + place.scale * min(character.stop, width), 1),
            }
            for character in reading.characters
        ],
        "alternatives": [
            {"text": text, "confidence": _rounded(confidence)} for text, confidence in reading.alternatives
        ],
    }


def _rounded(confidence: float) -> float:
    return float(f"{confidence:.{DIGITS}g}")


mlflow.models.set_model(HandwritingReader())
