"""The outline of a line on its page, checked against its baseline: in which direction it runs, and where it is.

Baselines run in the direction of reading; cuts of lines that run up a margin or stand on their heads are turned by
them. An outline that does not cover its own baseline is one of another line, or a remnant: a band takes its place.
"""

import itertools
from collections.abc import Sequence
from typing import NamedTuple

import cv2
import numpy as np

MIN_COVERED = 0.75  # share of a baseline that its outline must cover
TOLERANCE = 0.35  # of an outline's thickness: so near it, a baseline is covered
ABOVE, BELOW = 0.75, 0.35  # of a line's height: a band's edges from the baseline
SAMPLES = 20  # points of a baseline that are looked at
STEEP = 45  # degrees; a line that is less steep is levelled with its line image
LENGTH_TO_HEIGHT, PAGE_TO_HEIGHT = 6, 10  # of a band where nothing else tells: at most these shares

Points = Sequence[tuple[float, float]]  # (x, y), y downwards


class Outline(NamedTuple):
    """A polygon, and the direction in which its line runs: 0 degrees to the right, 90 downwards."""

    points: Points
    angle: float


def outlines(lines: Sequence[tuple[Points, Points]], size: tuple[float, float] | None) -> list[Outline]:
    """Return the outline of each line of a page from its polygon and its baseline, of which either may be empty.

    size: width and height of the page, in the unit of the points.
    """
    height = line_height(lines, size)
    found = []
    for polygon, baseline in lines:
        angle = direction(polygon, baseline)
        if len(baseline) >= 2 and not is_covered(baseline, polygon):
            polygon = band(baseline, height, angle, size)
        found.append(Outline(polygon, angle if abs(angle) >= STEEP else 0.0))
    return found


def direction(polygon: Points, baseline: Points) -> float:
    """Return the angle of a baseline in degrees, above -180 and at most 180.

    One that runs leftwards with its outline above it was drawn from its end, as for scripts that are written so.
    """
    if len(baseline) < 2:
        return 0.0
    (x, y), (stop_x, stop_y) = baseline[0], baseline[-1]
    angle = float(np.degrees(np.arctan2(stop_y - y, stop_x - x)))
    if abs(angle) > 180 - STEEP and len(polygon) >= 3:
        middle_of_outline, middle = np.mean([row for _, row in polygon]), np.mean([row for _, row in baseline])
        if middle_of_outline < middle:
            angle += 180 if angle <= 0 else -180
    return angle


def is_covered(baseline: Points, polygon: Points) -> bool:
    """Return whether a polygon covers most of a baseline, or is near enough to it."""
    if len(polygon) < 3:
        return False
    points, length = sample(baseline)
    if not length:
        return True
    near = TOLERANCE * area(polygon) / length
    contour = np.array(polygon, np.float32)
    inward = np.array([cv2.pointPolygonTest(contour, point, measureDist=True) for point in points.tolist()])
    return bool((inward >= -near).mean() >= MIN_COVERED)


def line_height(lines: Sequence[tuple[Points, Points]], size: tuple[float, float] | None) -> float:
    """Return how high the lines of a page are: the median of those whose outline can be trusted, else the median
    distance of neighbouring baselines, else a share of the baseline's length.
    """
    drawn = [(polygon, baseline) for polygon, baseline in lines if len(baseline) >= 2]
    trusted = [
        (polygon, line) for polygon, line in lines if len(polygon) >= 3 and (len(line) < 2 or is_covered(line, polygon))
    ]
    lengths = [sample(line)[1] if len(line) >= 2 else float(np.ptp(polygon, axis=0).max()) for polygon, line in trusted]
    heights = [area(polygon) / length for (polygon, _), length in zip(trusted, lengths, strict=True) if length]
    if not heights:
        middles = sorted(float(np.mean([y for _, y in line])) for _, line in drawn)
        heights = [lower - upper for upper, lower in itertools.pairwise(middles) if lower > upper]
    if heights:
        return float(np.median(heights))
    lengths = [sample(line)[1] / LENGTH_TO_HEIGHT for _, line in drawn]
    return min([*lengths, *([size[1] / PAGE_TO_HEIGHT] if size else [])], default=0.0)


def band(baseline: Points, height: float, angle: float, size: tuple[float, float] | None) -> Points:
    """Return a polygon around a baseline, on the page: a line's height thick, most of it above the baseline."""
    along = np.array([np.cos(np.radians(angle)), np.sin(np.radians(angle))])
    up = np.array([along[1], -along[0]])
    line = np.array(sorted(baseline, key=lambda point: float(along @ point)))  # (n, 2)
    line[0], line[-1] = line[0] - BELOW * height * along, line[-1] + BELOW * height * along
    points = np.concatenate([line + ABOVE * height * up, (line - BELOW * height * up)[::-1]])
    if size:
        points = points.clip(0, np.subtract(size, 1))
    return [(float(x), float(y)) for x, y in points]


def sample(baseline: Points) -> tuple[np.ndarray, float]:
    """Return points at equal distances along a baseline (SAMPLES, 2), and its length."""
    line = np.array(baseline, dtype=float)
    steps = np.concatenate([[0.0], np.hypot(*np.diff(line, axis=0).T).cumsum()])
    at = np.linspace(0, steps[-1], SAMPLES)
    return np.stack([np.interp(at, steps, line[:, 0]), np.interp(at, steps, line[:, 1])], axis=1), float(steps[-1])


def area(polygon: Points) -> float:
    """Return the area of a polygon."""
    return float(cv2.contourArea(np.array(polygon, np.float32))) if len(polygon) >= 3 else 0.0
