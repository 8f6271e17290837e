"""How a recogniser reads labelled rows: line by line, and in figures."""

import pandas as pd
from tqdm import tqdm

from project.data.line_cache import LineImages
from project.errors import InputError
from project.evaluation import metrics
from project.recognition.calibration import expected_calibration_error, expected_ece_if_calibrated
from project.recognition.image import read_image
from project.recognition.recognizer import AT_ONCE, Recognizer


def evaluate_rows(
    recognizer: Recognizer, rows: pd.DataFrame, decoder: str = "best_path", images: LineImages | None = None
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Read the pictures of `rows` (see `dataset.read_rows`) and compare with their texts.

    images: the line images by the rows' index, where they have been made already.
    Returns the lines that were read (`source`, `writer`, `text`, `prediction`, `confidence`, `edit_distance`, `cer`)
    and the rows that could not be (`source`, `text`, `reason`): no picture, or no text to compare with. Characters
    that the recogniser's charset lacks count as errors. ValueError if there is none that can be read, or if the images
    are not as high as this recogniser's.
    """
    if not len(rows):
        raise InputError("there are no rows to read")
    if images and images.height != recognizer.height:
        raise InputError(f"the line images are {images.height} px high, but this version reads {recognizer.height} px")
    read, rejected = [], []
    for start in tqdm(range(0, len(rows), AT_ONCE), desc="reading", leave=False, mininterval=1):
        readable, line_images = [], []
        for row in rows.iloc[start : start + AT_ONCE].itertuples():
            try:
                line_image = images[row.Index] if images else recognizer.line_image(read_image(row.image))
                if not row.text:
                    raise InputError("the text is empty")
                line_images.append(line_image)
                readable.append(row)
            except ValueError as error:
                rejected.append((row.source, row.text, str(error)))
        readings = recognizer.transcribe(line_images, decoder)
        read += [
            (row.source, row.writer, row.text, reading.text, reading.confidence)
            for row, reading in zip(readable, readings, strict=True)
        ]
    if not read:
        raise InputError(
            f"none of the {len(rows)} rows can be read, the first because: {rejected[0][0]}: {rejected[0][2]}"
        )
    lines = pd.DataFrame(read, columns=["source", "writer", "text", "prediction", "confidence"])
    lines["edit_distance"] = [
        metrics.total_edits([t], [p]) for t, p in zip(lines["text"], lines["prediction"], strict=True)
    ]
    lines["cer"] = lines["edit_distance"] / lines["text"].str.len()
    return lines, pd.DataFrame(rejected, columns=["source", "text", "reason"])


def error_rates(lines: pd.DataFrame) -> dict[str, float]:
    """`cer` and `wer` of a table with the columns `text` and `prediction`."""
    texts, predictions = list(lines["text"]), list(lines["prediction"])
    return {"cer": metrics.cer(texts, predictions), "wer": metrics.wer(texts, predictions)}


def calibration_errors(lines: pd.DataFrame) -> dict[str, float]:
    """`ece` of the confidence that whole lines are right, of a table with `text`, `prediction` and `confidence`; and
    `ece_by_chance`, what it would be in the mean, of so many lines, if the confidences were exactly right.
    """
    right = lines["text"] == lines["prediction"]
    return {
        "ece": expected_calibration_error(lines["confidence"], right),
        "ece_by_chance": expected_ece_if_calibrated(lines["confidence"]),
    }
