"""Read labelled rows with a recogniser and score the readings: line by line, and over all lines."""

import pandas as pd
from tqdm import tqdm

from project.data.line_cache import LineImages
from project.data.rows import read_row
from project.errors import InputError
from project.evaluation import metrics
from project.recognition.calibration import expected_calibration_error, expected_ece_if_calibrated
from project.recognition.recognizer import CHUNK_LINES, Recognizer


def evaluate_rows(
    recognizer: Recognizer, rows: pd.DataFrame, decoder: str = "best_path", images: LineImages | None = None
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Read the lines of `rows` (columns as in `data.rows.Row`) and compare them with their texts.

    images: the line images by the rows' index, if they exist already.
    Returns the lines that were read (`source`, `writer`, `text`, `prediction`, `confidence`, `edit_distance`, `cer`)
    and the rows that were not (`source`, `text`, `reason`): no picture, or no text to compare with. Characters outside
    the recogniser's charset count as errors. Raise InputError if no row can be read, or if the images do not have this
    recogniser's height.
    """
    if not len(rows):
        raise InputError("there are no rows to read")
    if images and images.height != recognizer.height:
        raise InputError(f"the line images are {images.height} px high, but this version reads {recognizer.height} px")
    read, rejected = [], []
    for start in tqdm(range(0, len(rows), CHUNK_LINES), desc="reading", leave=False, mininterval=1):
        readable, line_images = [], []
        for row in rows.iloc[start : start + CHUNK_LINES].itertuples():
            try:
                line_image = images[row.Index] if images else recognizer.line_image(read_row(row))
                if not row.text:
                    raise InputError("the text is empty")
                line_images.append(line_image)
                readable.append(row)
            except InputError as error:
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
    pairs = zip(lines["text"], lines["prediction"], strict=True)
    lines["edit_distance"] = [metrics.total_edits([text], [prediction]) for text, prediction in pairs]
    lines["cer"] = lines["edit_distance"] / lines["text"].str.len()
    return lines, pd.DataFrame(rejected, columns=["source", "text", "reason"])


def error_rates(lines: pd.DataFrame) -> dict[str, float]:
    """Return `cer` and `wer` of a table with the columns `text` and `prediction`."""
    texts, predictions = list(lines["text"]), list(lines["prediction"])
    return {"cer": metrics.cer(texts, predictions), "wer": metrics.wer(texts, predictions)}


def calibration_errors(lines: pd.DataFrame) -> dict[str, float]:
    """Return `ece`, the calibration error of the confidence that a whole line is right, and `ece_by_chance`.

    The second is the mean ECE of as many lines with exactly calibrated confidences. lines: a table with the columns
    `text`, `prediction` and `confidence`.
    """
    right = lines["text"] == lines["prediction"]
    return {
        "ece": expected_calibration_error(lines["confidence"], right),
        "ece_by_chance": expected_ece_if_calibrated(lines["confidence"]),
    }
