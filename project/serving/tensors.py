"""The numbers that `cnn_text_identifier` takes and gives: pixel tensors -> pictures, log-probs -> one array."""

import itertools
from collections.abc import Sequence

import numpy as np

from project.errors import InputError
from project.recognition.line_image import MIN_SIDE
from project.recognition.recognizer import OTHER_LOG_PROB, blank_log_probs

DIGITS = 3  # decimals of the log-probs that are sent: finer differences change no reading


def split_pixels(pixels: np.ndarray | list) -> list[np.ndarray]:
    """Split the served model's input, numbers (N, 1, H, W) from 0 black to 255 white, into N pictures uint8 (H, W).

    The input is an array, or nested lists as they come in JSON. Raise InputError that names what is wrong: texts, lists
    of unequal length, the shape, a number that is not finite, a number out of range.
    """
    if isinstance(pixels, list):
        grey = grey_levels(pixels)
        pixels = numbers(pixels) if grey is None else grey
    pixels = np.asarray(pixels)
    if pixels.ndim != 4 or pixels.shape[0] < 1 or pixels.shape[1] != 1 or min(pixels.shape[2:]) < MIN_SIDE:
        raise InputError(f"inputs must be (N, 1, H, W) with N >= 1, H and W >= {MIN_SIDE}; got shape {pixels.shape}")
    if not np.isfinite(pixels).all():
        raise InputError("inputs must be finite numbers; got a NaN, a null or an infinity")
    if pixels.min() < 0 or pixels.max() > 255:
        raise InputError(f"inputs must be from 0 (black) to 255 (white); got {pixels.min():g} to {pixels.max():g}")
    if pixels.min() < pixels.max() <= 1:
        raise InputError(f"inputs must be from 0 (black) to 255 (white); got at most {pixels.max():g}: multiply by 255")
    return list(np.rint(pixels[:, 0]).astype(np.uint8))


def grey_levels(content: list) -> np.ndarray | None:
    """Return nested lists (N, 1, H, W) of whole numbers from 0 to 255 as an array; None if they are anything else.

    `bytes` takes only such numbers, and in a tenth of NumPy's time.
    """
    if not all(isinstance(one, list) and len(one) == 1 and isinstance(one[0], list) for one in content):
        return None
    rows = [row for (picture,) in content for row in picture]
    heights = {len(picture) for (picture,) in content}
    if len(heights) != 1 or not all(isinstance(row, list) for row in rows) or len(widths := set(map(len, rows))) != 1:
        return None
    try:
        levels = b"".join(map(bytes, rows))
    except (TypeError, ValueError):
        return None
    return np.frombuffer(levels, np.uint8).reshape(len(content), 1, *heights, *widths)


def numbers(content: list) -> np.ndarray:
    """Return nested lists as an array of numbers. Raise InputError if they are none."""
    if holds_text(content):
        raise InputError("inputs must be numbers, and not texts")
    try:
        array = np.array(content)
    except (ValueError, OverflowError):
        array = np.array("lists of unequal length")
    if array.dtype.kind not in "biuf":
        raise InputError("inputs must be numbers, in lists of equal length")
    return array


def holds_text(content: list) -> bool:
    """Return whether nested lists hold a string: NumPy would give every number as much memory as the longest."""
    while content:
        kinds = set(map(type, content))
        if str in kinds:
            return True
        content = list(itertools.chain.from_iterable(one for one in content if isinstance(one, list)))
    return False


def pad(log_probs: Sequence[np.ndarray]) -> np.ndarray:
    """Return the log-probs (T, C) of N lines as one array, float64 (N, Tmax, C).

    The shorter lines go on with certain blanks, which every decoder skips.
    """
    frames, classes = max(map(len, log_probs)), log_probs[0].shape[1]
    padded = blank_log_probs((len(log_probs), frames, classes)).astype(np.float64)  # so that rounding is exact in JSON
    for row, line in zip(padded, log_probs, strict=True):
        row[: len(line)] = line.clip(OTHER_LOG_PROB)
    return padded.round(DIGITS)
