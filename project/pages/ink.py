"""A picture of a page -> what of it is ink, what is paper, and what are ruled lines."""

from collections.abc import Sequence
from typing import NamedTuple

import cv2
import numpy as np

from project.pages.text_lines import Course

INK_SHARE = 0.4  # of the contrast of the darkest ink nearby: as much darker than the paper is ink
MIN_INK = 16  # grey levels darker than the paper: less is grain
RULE = 10  # core thicknesses: a straight stroke as long as that is no letter
MIN_RULES, MAX_RULES = 3, 30  # of a table
MARGIN = 0.03  # of the page's width: what is that near to its sides is the sheet's edge
MIN_SHARE = 0.4  # of the page's height that a rule runs along


class Sheet(NamedTuple):
    """The layers of a page, each (H, W)."""

    pixels: np.ndarray  # uint8, 0 black to 255 white
    paper: np.ndarray  # uint8, the grey that the page would have without its ink
    ink: np.ndarray  # bool
    rules: np.ndarray  # bool: upright ruled lines, which separate columns


def is_light_on_dark(pixels: np.ndarray, pieces: Sequence[Course]) -> bool:
    """Return whether a page uint8 (H, W) is written in light on a dark ground, by the lines' cores: most of them is
    ground.
    """
    cores = np.zeros(pixels.shape, np.uint8)
    for piece in pieces:
        cv2.polylines(cores, [np.rint(piece.points).astype(np.int32)], False, 1, max(1, round(piece.thickness)))
    dark, ground, light = np.percentile(pixels[cores > 0], (2, 50, 98))
    return bool(light - ground > ground - dark)


def separate_ink(pixels: np.ndarray, thickness: float) -> Sheet:
    """Return the layers of a page uint8 (H, W), dark ink on lighter paper. thickness: of its lines' cores, px."""
    height, width = pixels.shape
    shrink = max(1, int(thickness // 4))
    small = cv2.resize(pixels, (-(-width // shrink), -(-height // shrink)), interpolation=cv2.INTER_AREA)
    around = 2 * max(1, round(thickness / shrink)) + 1  # px of the small picture: wider than any stroke
    paper = cv2.medianBlur(cv2.morphologyEx(small, cv2.MORPH_CLOSE, np.ones((around, around), np.uint8)), 5)
    paper = cv2.resize(paper, (width, height), interpolation=cv2.INTER_LINEAR)
    contrast = cv2.subtract(paper, pixels)
    darkest = cv2.dilate(_shrunk_by_maximum(contrast, shrink), np.ones((2 * around + 1, 2 * around + 1), np.uint8))
    least = np.maximum(cv2.blur(darkest, (2 * around + 1, 2 * around + 1)) * INK_SHARE, MIN_INK).astype(np.uint8)
    least = cv2.resize(least, (width, height), interpolation=cv2.INTER_LINEAR)
    ink = contrast > least
    return Sheet(pixels, paper, ink, table_rules(ink, thickness))


def table_rules(ink: np.ndarray, thickness: float) -> np.ndarray:
    """Return the upright ruled lines of a table, bool (H, W); none where there are too few for one, or as many as on
    squared paper.
    """
    length = max(8, int(RULE * thickness))
    rules = cv2.morphologyEx(ink.view(np.uint8), cv2.MORPH_CLOSE, np.ones((length // 8, 1), np.uint8))
    rules = cv2.morphologyEx(rules, cv2.MORPH_OPEN, np.ones((length, 1), np.uint8))
    rules = cv2.dilate(rules, np.ones((1, 3), np.uint8))
    near = cv2.dilate(rules, np.ones((1, max(3, int(thickness))), np.uint8))  # a rule need not be quite upright
    long = near.sum(axis=0) > MIN_SHARE * len(ink)  # (W,)
    margin = int(MARGIN * ink.shape[1])
    long[:margin] = long[len(long) - margin :] = False
    starts = np.flatnonzero(np.diff(long.astype(np.int8), prepend=0) > 0)
    if not MIN_RULES <= len(starts) <= MAX_RULES:
        return np.zeros_like(ink)
    return (rules > 0) & long


def _shrunk_by_maximum(values: np.ndarray, shrink: int) -> np.ndarray:
    """Return the largest of each `shrink` x `shrink` values; those at the edge that do not fill one are joined by 0."""
    height, width = (-(-side // shrink) for side in values.shape)
    padded = np.zeros((height * shrink, width * shrink), values.dtype)
    padded[: values.shape[0], : values.shape[1]] = values
    return padded.reshape(height, shrink, width, shrink).max(axis=(1, 3))
