"""Lines of a page -> pictures of each, without the ink of its neighbours.

The ink's connected components belong to the line whose core they touch; one that touches the cores of two lines is cut
where a path along the ink is as far from the one core as from the other. Outside of the lines' cores, what is too long
and thin for letters (rules, frames, loops of a pen) is no line's.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import cv2
import numpy as np

from project.pages.ink import Sheet
from project.pages.text_lines import Course, nearest_marker

CORE = 0.6  # of the core's thickness: what of it is surely the line's own
REACH = 3.5  # core thicknesses: what is further from the course is not looked at
FAR = 2.0  # core thicknesses: ink further from any core, and not touching it, is no line's
MAX_STEPS = 100  # px along the ink
ASCENT, DESCENT = 1.2, 1.0  # core thicknesses that an outline has at least above and below the middle
BODY = 0.8  # core thicknesses from the course: what is nearer may be a letter's
STROKE = 6, 0.5  # core thicknesses: ink as long, and as thin, is no letter
RIM = 3  # px around the ink


@dataclass(frozen=True)
class LineCut:
    """The picture of one line, level and alone on its paper, and where it lies on the page.

    pixels: uint8 (H, W). points: float (W, 2), (x, y) on the page of each column at row `middle`; normals: float
    (W, 2), by which the place on the page moves from one row to the next.
    """

    pixels: np.ndarray
    points: np.ndarray
    normals: np.ndarray
    middle: float
    top: np.ndarray  # (W,): the row at which the line's own ink begins, about each column
    bottom: np.ndarray  # (W,): and the row after its end
    baseline: np.ndarray  # (W,): the row on which the letters stand

    def on_page(self, columns: np.ndarray, rows: np.ndarray) -> np.ndarray:
        """Return the places (M, 2) on the page, px, of whole columns int (M,) and rows float (M,) of the picture."""
        return self.points[columns] + self.normals[columns] * (rows - self.middle)[:, None]

    def transformed(self, matrix: np.ndarray) -> "LineCut":
        """Return the same picture with its places under an affine map (2, 3)."""
        points = self.points @ matrix[:, :2].T + matrix[:, 2]
        return replace(self, points=points, normals=self.normals @ matrix[:, :2].T)


def cut_lines(sheet: Sheet, courses: Sequence[Course]) -> list[LineCut]:
    """Return the picture of each line of a page."""
    owner = assign_ink(sheet, courses)
    return [_cut(sheet, owner, number, course) for number, course in enumerate(courses, start=1)]


def assign_ink(sheet: Sheet, courses: Sequence[Course]) -> np.ndarray:
    """Return the line, from 1, that each pixel of the page belongs to, uint16 (H, W); 0 is none."""
    cores = np.zeros(sheet.ink.shape, np.uint16)
    for number, course in enumerate(courses, start=1):
        points = np.rint(course.points).astype(np.int32)
        cv2.polylines(cores, [points], False, number, max(1, round(CORE * course.thickness)))
    near, distance = nearest_marker(cores)
    thickness = np.array([0, *(course.thickness for course in courses)])
    near[distance > REACH * thickness[near]] = 0
    rules = sheet.rules | long_strokes(sheet.ink, near, distance, thickness)
    letters = (sheet.ink & ~rules).astype(np.uint8)
    count, components, stats, centers = cv2.connectedComponentsWithStats(letters, connectivity=8, ltype=cv2.CV_32S)
    touched = np.unique(components[cores > 0].astype(np.int64) << 16 | cores[cores > 0])
    component, line = touched >> 16, touched & 0xFFFF
    component, line = component[component > 0], line[component > 0]
    touches = np.bincount(component, minlength=count)
    owner_of = np.zeros(count, np.uint16)
    owner_of[component] = line  # right where it touches a single one
    x, y = np.rint(centers).astype(int).T
    alone = np.flatnonzero(touches == 0)
    nearest = near[y[alone], x[alone]]
    far = distance[y[alone], x[alone]] > FAR * thickness[nearest]
    owner_of[alone] = np.where(far | is_long(stats[alone], thickness[nearest]), 0, nearest)
    owner_of[0] = 0  # the paper
    owner = owner_of[components]  # (H, W)
    shared = touches[components] > 1
    if shared.any():
        owner[shared] = spread_along_ink(cores, shared, near)[shared]
    ink_owner = owner
    halo = cv2.dilate(letters, np.ones((3, 3), np.uint8)) > 0  # the edges of strokes
    owner = np.where(halo, cv2.dilate(ink_owner, np.ones((3, 3), np.uint8)), near)
    owner[letters > 0] = ink_owner[letters > 0]
    owner[(cv2.dilate(rules.view(np.uint8), np.ones((3, 3), np.uint8)) > 0) & (letters == 0)] = 0
    return owner


def long_strokes(ink: np.ndarray, near: np.ndarray, distance: np.ndarray, thickness: np.ndarray) -> np.ndarray:
    """Return the ink outside of lines that is too long and thin for letters, bool (H, W): rules, frames, a pen's loops.

    ink: bool (H, W). near, distance: of each pixel from the nearest course. thickness: of each course, px, from 1.
    """
    outside = (ink & (distance > BODY * thickness[near])).astype(np.uint8)
    _, components, stats, centers = cv2.connectedComponentsWithStats(outside, connectivity=8, ltype=cv2.CV_32S)
    x, y = np.rint(centers).astype(int).T
    around = np.where(near[y, x] > 0, thickness[near[y, x]], np.median(thickness[1:]))
    long = is_long(stats, around)
    long[0] = False
    return long[components]


def is_long(stats: np.ndarray, thickness: np.ndarray) -> np.ndarray:
    """Return which components are too long and thin for letters, bool (N,). stats: OpenCV's (N, 5); thickness: (N,)."""
    length = np.maximum(stats[:, cv2.CC_STAT_WIDTH], stats[:, cv2.CC_STAT_HEIGHT])
    return (length > STROKE[0] * thickness) & (stats[:, cv2.CC_STAT_AREA] < STROKE[1] * thickness * length)


def spread_along_ink(cores: np.ndarray, ink: np.ndarray, near: np.ndarray) -> np.ndarray:
    """Return the core that each pixel of `ink`, bool (H, W), is nearest to, going along the ink only."""
    owner = np.where(ink, cores, 0).astype(np.uint16)
    for _ in range(MAX_STEPS):
        grown = cv2.dilate(owner, np.ones((3, 3), np.uint8))
        fresh = ink & (owner == 0) & (grown > 0)
        if not fresh.any():
            break
        owner[fresh] = grown[fresh]
    left = ink & (owner == 0)
    owner[left] = near[left]
    return owner


def _cut(sheet: Sheet, owner: np.ndarray, number: int, course: Course) -> LineCut:
    points, normals = resampled(course)
    reach = int(np.ceil(REACH * course.thickness))
    rows = np.arange(-reach, reach + 1, dtype=np.float32)
    places = (points[None] + normals[None] * rows[:, None, None]).astype(np.float32)  # (2 reach + 1, W, 2)
    own = _sample(owner, places, cv2.INTER_NEAREST) == number
    pixels = np.where(own, _sample(sheet.pixels, places), _sample(sheet.paper, places))
    ink = own & (_sample(sheet.ink.view(np.uint8), places, cv2.INTER_NEAREST) > 0)
    top, bottom = envelope(ink, reach, course.thickness)
    first, last = max(0, int(top.min()) - RIM), min(len(rows), int(bottom.max()) + RIM)
    baseline = np.full(len(points), base_row(ink, reach, course.thickness) - first, float)
    return LineCut(pixels[first:last], points, normals, reach - first, top - first, bottom - first, baseline)


def resampled(course: Course) -> tuple[np.ndarray, np.ndarray]:
    """Return the places (W, 2) of each px along a course, and its normals there (W, 2)."""
    along = np.append(0, np.cumsum(np.hypot(*np.diff(course.points, axis=0).T)))
    at = np.arange(0, max(along[-1], 8.0))
    points, normals = (
        np.stack([np.interp(at, along, values[:, axis]) for axis in (0, 1)], axis=1)
        for values in (course.points, course.normals)
    )
    return points, normals


def _sample(layer: np.ndarray, places: np.ndarray, interpolation: int = cv2.INTER_LINEAR) -> np.ndarray:
    return cv2.remap(layer, places[..., 0], places[..., 1], interpolation, borderMode=cv2.BORDER_REPLICATE)


def envelope(ink: np.ndarray, middle: int, thickness: float) -> tuple[np.ndarray, np.ndarray]:
    """Return the first row of the ink about each column, and the row after its last, with room for ascenders and
    descenders. ink: bool (H, W)."""
    height = len(ink)
    some = ink.any(axis=0)
    upper, lower = middle - round(ASCENT * thickness), middle + round(DESCENT * thickness)
    top = np.where(some, ink.argmax(axis=0), upper).clip(max=upper)
    bottom = np.where(some, height - ink[::-1].argmax(axis=0), lower).clip(min=lower)
    window = np.ones((1, 2 * round(2 * thickness) + 1), np.uint8)
    top = cv2.erode(top.astype(np.float32)[None], window)[0]
    bottom = cv2.dilate(bottom.astype(np.float32)[None], window)[0]
    return top, bottom


def base_row(ink: np.ndarray, middle: int, thickness: float) -> float:
    """Return the row on which the letters stand: below the middle, where the ink becomes less the fastest."""
    profile = cv2.blur(ink.sum(axis=1).astype(np.float32)[:, None], (1, max(1, round(thickness / 4))))[:, 0]
    below = slice(middle, middle + max(2, round(1.2 * thickness)))
    return middle + int(np.diff(profile[below]).argmin()) + 1
