"""The model `handwriting_reader`: encoded pictures in, texts out. A version is loaded by `model_script`."""

from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

import mlflow
import numpy as np
import pandas as pd
from mlflow.exceptions import MlflowException
from mlflow.protos.databricks_pb2 import INVALID_PARAMETER_VALUE
from mlflow.pyfunc import PythonModel, PythonModelContext

from project.errors import InputError
from project.pages.line_or_page import LAYOUTS, decode_undecided, is_strip, is_sure
from project.pages.page import Line, Outline, Page, PlacedCharacter, Word
from project.pages.reading import find_lines, is_page, read_lines, span_of, word_spans
from project.recognition.decoding import DECODERS
from project.recognition.image import picture_bytes
from project.recognition.recognizer import CHUNK_LINES, Reading, Recognizer
from project.recognition.turns import View, transcribe_views, views

MAX_PAGE_LINES = 500  # of a page: more takes minutes, and a server must come to an end
MAX_COUNTS = {"beam_width": 100, "alternatives": 100}  # likewise, for a line
COLUMNS = ("text", "confidence", "characters", "alternatives", "error", "layout", "turn", "lines")
DIGITS = 4  # of a confidence, and of a tiny one too: lines are ranked by it


class HandwritingReader(PythonModel):
    """Read encoded pictures of lines or pages, in the column `image`, into a table of what is written: `COLUMNS`.

    A picture that cannot be read spoils no other: its text is empty, its confidence 0, and `error` says why; elsewhere
    `error` is empty. Nothing is None, of which JSON, Spark and CSV would each make something else. A parameter that is
    not allowed is answered with status 400.
    """

    def load_context(self, context: PythonModelContext) -> None:
        self.recognizer = Recognizer.load(context.artifacts["recognizer"])

    def predict(
        self, context: PythonModelContext, model_input: pd.DataFrame, params: dict | None = None
    ) -> pd.DataFrame:
        rows = list(self.answers(list(model_input["image"]), params or {}))
        return pd.DataFrame(rows, model_input.index, columns=COLUMNS)  # each beside its picture

    def answers(self, pictures: Sequence, params: dict) -> Iterator[dict]:
        """Return the rows of that table, one after the other. MlflowException if a parameter is not allowed."""
        try:
            check(**params)
        except InputError as error:
            raise MlflowException(str(error), error_code=INVALID_PARAMETER_VALUE) from None
        return read_pictures(self.recognizer, pictures, **params)


def check(decoder: str, layout: str, **counts: int) -> None:
    """Raise InputError if a parameter is not one that `read_pictures` takes, or would take too long."""
    for name, value, allowed in (("decoder", decoder, DECODERS), ("layout", layout, LAYOUTS)):
        if value not in allowed:
            raise InputError(f"{name} must be one of {sorted(allowed)}; got {value[:20]!r}")
    for name, count in counts.items():
        least = int(name == "beam_width")
        if not least <= count <= MAX_COUNTS[name]:
            raise InputError(f"{name} must be from {least} to {MAX_COUNTS[name]}; got {count}")


def read_pictures(recognizer: Recognizer, pictures: Iterable, layout: str, **params) -> Iterator[dict]:
    """Yield a row (see `COLUMNS`) for each encoded picture (see `image.picture_bytes`), in order.

    layout: one of `LAYOUTS`. params: those of `Recognizer.transcribe`. Pages are read one by one, when their rows are
    asked for, and lines that follow each other together.
    """
    pending: list[Pending] = []  # their rows are to come
    for picture in pictures:
        row, line, strip = empty_row(), [], None
        try:
            pixels, size, found = decode_undecided(picture_bytes(picture), layout)
            strip = pixels if found == "auto" and is_strip(pixels) else None
            if found == "page" or (found == "auto" and strip is None and is_page(pixels)):
                yield from read_pending(recognizer, pending, **params)
                pending = []
                row.update(page_row(pixels, size, recognizer, **params))
            else:
                line = views(pixels, recognizer.height)
        except InputError as error:
            row["error"] = str(error)
        pending.append(Pending(row, line, strip))
        if len(pending) == CHUNK_LINES:
            yield from read_pending(recognizer, pending, **params)
            pending = []
    yield from read_pending(recognizer, pending, **params)


class Pending(NamedTuple):
    """A picture that is to be read together with others."""

    row: dict  # of the answer, to be filled in
    line: list[View]  # empty if there is no line to read
    strip: np.ndarray | None  # uint8 (H, W), if it may turn out to be a page


def read_pending(recognizer: Recognizer, pending: list[Pending], **params) -> Iterator[dict]:
    """Read the lines together; yield all rows, filled in. A strip that is a page is read once more, as that."""
    read = iter(transcribe_views(recognizer, [one.line for one in pending if one.line], **params))
    for row, line, strip in pending:
        if line:
            reading, view = next(read)
            try:
                if strip is None or is_sure(reading) or not is_page(strip):
                    row.update(line_row(reading, view))
                else:
                    height, width = strip.shape
                    row.update(page_row(strip, (width, height), recognizer, **params))
            except InputError as error:
                row["error"] = str(error)
        yield row


def empty_row() -> dict:
    """Return the row of a picture that was not read."""
    return {
        "text": "",
        "confidence": 0.0,
        "characters": [],
        "alternatives": [],
        "error": "",
        "layout": "",
        "turn": 0.0,
        "lines": [],
    }


def page_row(pixels: np.ndarray, size: tuple[int, int], recognizer: Recognizer, **params) -> dict:
    """Return what is written on a page, uint8 (H, W): lines, and their text with line breaks; "" if nothing is.

    size: width and height of the file's picture. Raise InputError if there are more than `MAX_PAGE_LINES`.
    """
    layout = find_lines(pixels, recognizer, size)
    if len(layout.cuts) > MAX_PAGE_LINES:
        raise InputError(f"the page has {len(layout.cuts)} lines; at most {MAX_PAGE_LINES} are read")
    page = Page(layout.size, layout.turn, tuple(read_lines(layout, recognizer, **params)))
    return {
        "text": page.text,
        "confidence": _rounded(page.confidence),
        "layout": "page",
        "turn": page.turn % 360,
        "lines": [line_dict(line) for line in page.lines],
    }


def line_row(reading: Reading, view: View) -> dict:
    """Return what is written in the picture of a line.

    `start` and `stop` of a character are px along the line, outlines px of the picture as it is.
    """
    place, width = view.placement, view.line_image.shape[2]
    spans = [
        (place.left + place.scale * one.start, place.left + place.scale * min(one.stop, width))
        for one in reading.characters
    ]
    return {
        "text": reading.text,
        "confidence": _rounded(reading.confidence),
        "characters": [
            _said(one) | {"start": round(start, 1), "stop": round(stop, 1)}
            for one, (start, stop) in zip(reading.characters, spans, strict=True)
        ],
        "alternatives": _alternatives(reading.alternatives),
        "layout": "line",
        "turn": float(view.turn),
        "lines": [line_dict(line_of_picture(reading, spans, view))],
    }


def line_of_picture(reading: Reading, spans: Sequence[tuple[float, float]], view: View) -> Line:
    """Return the line that fills a picture. spans: from where to where each character goes along it, px."""
    height, width = view.shape

    def column(start: float, stop: float) -> Outline:
        left, right = round(start), round(stop)
        corners = ((left, 0), (right, 0), (right, height), (left, height))
        return tuple((round(x), round(y)) for x, y in (view.on_picture(*corner) for corner in corners))

    characters = tuple(
        PlacedCharacter(one.text, one.confidence, column(*span))
        for one, span in zip(reading.characters, spans, strict=True)
    )
    words = tuple(
        Word(
            reading.text[start:stop],
            min(one.confidence for one in characters[start:stop]),
            column(*span_of(spans[start:stop])),
        )
        for start, stop in word_spans(reading.text)
    )
    outline = column(0, width)
    return Line(outline, (), 0, reading.text, reading.confidence, words, characters, tuple(reading.alternatives))


def line_dict(line: Line) -> dict:
    """Return a line as the answer has it: places are lists of [x, y], px of the picture."""
    return _said(line) | {
        "outline": _places(line.outline),
        "baseline": _places(line.baseline),
        "region": line.region,
        "words": [_said(word) | {"outline": _places(word.outline)} for word in line.words],
        "characters": [_said(one) | {"outline": _places(one.outline)} for one in line.characters],
        "alternatives": _alternatives(line.alternatives),
    }


def _said(part) -> dict:
    return {"text": part.text, "confidence": _rounded(part.confidence)}


def _alternatives(alternatives: Sequence[tuple[str, float]]) -> list[dict]:
    return [{"text": text, "confidence": _rounded(confidence)} for text, confidence in alternatives]


def _places(outline: Outline) -> list[list[float]]:
    return [[x, y] for x, y in outline]


def _rounded(confidence: float) -> float:
    return float(f"{confidence:.{DIGITS}g}")


mlflow.models.set_model(HandwritingReader())
