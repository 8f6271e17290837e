"""Errors of predictions against transcriptions: edit distance, CER, WER, confusions."""

from collections import Counter
from collections.abc import Sequence

import editdistance
import pandas as pd
from rapidfuzz.distance import Levenshtein


def total_edits(references: Sequence[Sequence], predictions: Sequence[Sequence]) -> int:
    """Return the Levenshtein distance S + D + I, summed over the pairs. Raise ValueError if their numbers differ."""
    if len(references) != len(predictions):
        raise ValueError(f"{len(references)} references, but {len(predictions)} predictions")
    return sum(map(editdistance.eval, references, predictions))


def error_rate(references: Sequence[Sequence], predictions: Sequence[Sequence]) -> float:
    """Return (S + D + I) / N, edits and reference lengths N each summed over the whole set before dividing.

    0 is perfect; above 1 is possible. Raise ValueError if the references hold nothing at all.
    """
    length = sum(map(len, references))
    if length == 0:
        raise ValueError("an error rate needs at least one reference that is not empty")
    return total_edits(references, predictions) / length


def cer(references: Sequence[str], predictions: Sequence[str]) -> float:
    """Return the character error rate: `error_rate` over characters, spaces included."""
    return error_rate(references, predictions)


def wer(references: Sequence[str], predictions: Sequence[str]) -> float:
    """Return the word error rate: `error_rate` over words, split at white space; punctuation stays with its word."""
    return error_rate([text.split() for text in references], [text.split() for text in predictions])


def average_edit_distance(references: Sequence[str], predictions: Sequence[str]) -> float:
    """Return the mean edit distance of a line, in characters."""
    return total_edits(references, predictions) / len(references)


def confusions(references: Sequence[str], predictions: Sequence[str]) -> pd.DataFrame:
    """Count which character was read as which, most frequent first: `written`, `read` ("" is none), `times`.

    From one cheapest alignment of each pair.
    """
    counts: Counter[tuple[str, str]] = Counter()
    for reference, prediction in zip(references, predictions, strict=True):
        for edit in Levenshtein.editops(reference, prediction):
            written = "" if edit.tag == "insert" else reference[edit.src_pos]
            counts[written, "" if edit.tag == "delete" else prediction[edit.dest_pos]] += 1
    table = [(written, read, times) for (written, read), times in counts.most_common()]
    return pd.DataFrame(table, columns=["written", "read", "times"])


def right_characters(text: str, reading: str) -> list[bool]:
    """Return whether each character of `reading` is right, in one cheapest alignment with `text`."""
    right = [False] * len(reading)
    for edit in Levenshtein.opcodes(text, reading):
        right[edit.dest_start : edit.dest_end] = [edit.tag == "equal"] * (edit.dest_end - edit.dest_start)
    return right
