"""The cells of a table: pieces of lines end at its ruled lines, and lines go on to the last ink of their cell."""

import cv2
import numpy as np

from project.pages.text_lines import END, Course, resampled

MAX_CELL = 40.0  # core thicknesses from a line's end to the rule that closes its cell
BAND = 0.7  # core thicknesses above and below the middle in which ink continues a line
MIN_INK = 2  # px of a column of that band


def split_at(pieces: list[Course], rules: np.ndarray) -> list[Course]:
    """Return the pieces, parted where they cross a ruled line. rules: bool (H, W), all False without a table."""
    if not rules.any():
        return pieces
    height, width = rules.shape
    parts = []
    for piece in pieces:
        steps = resampled(piece.points)
        x, y = np.rint(steps).astype(int).T
        free = ~rules[y.clip(0, height - 1), x.clip(0, width - 1)]
        edges = np.flatnonzero(np.diff(np.concatenate([[0], free, [0]]))).reshape(-1, 2)
        for start, stop in edges.tolist():
            if len(edges) == 1 or stop - start > 2 * END * piece.thickness:  # more than a guessed end
                few = np.arange(start, stop, max(1, int(piece.thickness)))
                parts.append(
                    Course(steps[np.append(few, stop - 1)] if stop - 1 > few[-1] else steps[few], piece.thickness)
                )
    return parts


def fill_cells(lines: list[Course], ink: np.ndarray, rules: np.ndarray) -> list[Course]:
    """Return the lines, each lengthened to the last ink that goes on from it in its cell of a table.

    ink, rules: bool (H, W); a cell ends at a rule, and nothing is lengthened where there is none, or another line.
    """
    if not rules.any():
        return lines
    blocked = rules.astype(np.uint8)
    for line in lines:
        cv2.polylines(blocked, [np.rint(line.points[1:-1]).astype(np.int32)], False, 1, max(1, int(line.thickness)))
    longer = []
    for line in lines:
        points = line.points
        for _ in range(2):  # the end, and then the start
            reach = reach_in_cell(points[-2], points[-1], line.thickness, ink, rules, blocked)
            further = points[-2] + reach * (points[-1] - points[-2]) / max(np.hypot(*(points[-1] - points[-2])), 1e-9)
            points = np.concatenate([points[:-1], [further]])[::-1]
        longer.append(Course(points, line.thickness))
    return longer


def reach_in_cell(
    end: np.ndarray, guess: np.ndarray, thickness: float, ink: np.ndarray, rules: np.ndarray, blocked: np.ndarray
) -> float:
    """Return how far beyond its core's end, (x, y), a line goes on in its cell, px: at least to its guessed end."""
    guessed = float(np.hypot(*(guess - end)))
    along = (guess - end) / max(guessed, 1e-9)
    if abs(along[0]) < abs(along[1]):
        return guessed
    steps, across = np.arange(thickness, MAX_CELL * thickness), np.arange(-BAND * thickness, BAND * thickness)
    places = end + steps[:, None, None] * along + across[:, None] * np.array([-along[1], along[0]])  # (S, A, 2)
    x, y = np.rint(places).astype(int).transpose(2, 0, 1)
    inside = ((x >= 0) & (x < ink.shape[1]) & (y >= 0) & (y < ink.shape[0])).all(axis=1)
    steps, x, y = steps[inside], x[inside], y[inside]
    stops = np.flatnonzero(blocked[y, x].any(axis=1))
    if not len(stops) or not rules[y[stops[0]], x[stops[0]]].any():
        return guessed
    written = np.flatnonzero(ink[y, x].sum(axis=1)[: stops[0]] >= MIN_INK)
    return max(guessed, min(steps[written[-1]] + END * thickness, steps[stops[0]] - 1)) if len(written) else guessed
