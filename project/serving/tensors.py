"""The numbers that `cnn_text_identifier` takes and gives: pixel tensors -> pictures, log-probs -> nested lists."""

from collections.abc import Sequence

import numpy as np

from project.errors import InputError
from project.recognition.line_image import MIN_SIDE
from project.recognition.recognizer import IMPOSSIBLE, blank_log_probs

DIGITS = 3  # decimals of the log-probs that are sent: finer differences change no reading


def split_pixels(pixels: np.ndarray) -> list[np.ndarray]:
    """Split the served model's input, numbers (N, 1, H, W) from 0 black to 255 white, into N pictures uint8 (H, W).

    Raise InputError that names what is wrong: the shape, a number that is not finite, a number out of range.
    """
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


def pad_to_lists(log_probs: Sequence[np.ndarray]) -> list[list[list[float]]]:
    """Return the log-probs (T, C) of N lines as nested lists (N, Tmax, C).

    The shorter lines go on with certain blanks, which every decoder skips.
    """
    frames, classes = max(map(len, log_probs)), log_probs[0].shape[1]
    padded = blank_log_probs((len(log_probs), frames, classes)).astype(np.float64)  # so that rounding is exact in JSON
    for row, line in zip(padded, log_probs, strict=True):
        row[: len(line)] = line.clip(IMPOSSIBLE)
    return padded.round(DIGITS).tolist()
