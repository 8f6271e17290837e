"""The probability map of text -> lines: for each its course through the page, and how thick its core is."""

from dataclasses import dataclass
from functools import cached_property

import cv2
import numpy as np

MIN_PROBABILITY = 0.3  # of text in a pixel of a piece
HIGHER_PROBABILITIES = (0.5, 0.7, 0.85, 0.95)  # that part lines which have grown together
MIN_LENGTH = 0.15  # of the longest part's width: a shorter one is no line that has grown together with others
MAX_DOUBLE = 0.15  # of a patch's columns that may go through it twice
MIN_MEAN_PROBABILITY = 0.5  # of a piece as a whole
MIN_PIXELS = 12  # px of the map: less is a speck
MIN_THICKNESS = 0.4  # of the usual core's thickness; a thinner piece has to be long
MIN_THIN_LENGTH = 20  # least thicknesses
MIN_ELONGATION = 3.0  # of a patch's standard deviations, along to across, that tell its direction
MAX_BEND = 20  # degrees between two pieces of a line
MAX_GAP_IN_CELL, MAX_OVERLAP_IN_CELL = 15.0, 3.0  # core thicknesses
MAX_OFFSET_IN_CELL = 1.0  # of the core's thickness: a cell has few lines, and ditto marks stand high or low
MAX_GAP, MAX_OVERLAP = 4.0, 1.0  # core thicknesses between the ends of two pieces of a line
MAX_GAP_ALONE = 1.0  # core thicknesses: over a larger gap, a line above or below has to run
NEIGHBOURHOOD, MIN_NEIGHBOURS = 8.0, 2  # core thicknesses above and below a gap, and the pieces that stand there
MAX_OFFSET, MAX_DRIFT = 0.6, 0.05  # to the side: of the core's thickness, and of the gap
OFFSET_COST = 3  # px of gap for which a px to the side counts when the nearest is chosen
END = 1.0  # core thicknesses by which writing goes on beyond the core's end


@dataclass(frozen=True)
class Course:
    """The middle of a line's core, from its start to its end.

    points: float (P, 2), (x, y); px of the page once it is upright. thickness: of the core, px: about the height of
    an x. A line's ascenders and descenders reach about as far again beyond it.
    """

    points: np.ndarray
    thickness: float

    @cached_property
    def direction(self) -> np.ndarray:
        """The unit vector from the start to the end, (2,)."""
        along = self.points[-1] - self.points[0]
        return along / max(np.hypot(*along), 1e-9)

    @cached_property
    def length(self) -> float:
        return float(np.hypot(*np.diff(self.points, axis=0).T).sum())

    @cached_property
    def angle(self) -> float:
        """Degrees by which the line falls: 90 goes down the page, -90 up."""
        return float(np.degrees(np.arctan2(self.direction[1], self.direction[0])))

    @cached_property
    def box(self) -> tuple[float, float, float, float]:
        """Left, top, right and bottom, px."""
        (left, top), (right, bottom) = self.points.min(axis=0), self.points.max(axis=0)
        half = self.thickness / 2
        return float(left), float(top - half), float(right), float(bottom + half)

    def transformed(self, matrix: np.ndarray) -> "Course":
        """Return the course under an affine map (2, 3)."""
        scale = np.sqrt(abs(np.linalg.det(matrix[:, :2])))
        return Course(self.points @ matrix[:, :2].T + matrix[:, 2], self.thickness * scale)

    def reversed(self) -> "Course":
        return Course(self.points[::-1], self.thickness)

    def outline(self, half_height: float) -> np.ndarray:
        """Return the polygon (2 P, 2) of what is within `half_height` of the course."""
        normals = self.normals * half_height
        return np.concatenate([self.points - normals, (self.points + normals)[::-1]])

    @cached_property
    def normals(self) -> np.ndarray:
        """Unit vectors (P, 2) at right angles to the course, to the side of the descenders."""
        along = np.gradient(self.points, axis=0)
        along /= np.maximum(np.hypot(*along.T), 1e-9)[:, None]
        return np.stack([-along[:, 1], along[:, 0]], axis=1)


def without_specks(pieces: list[Course]) -> list[Course]:
    """Return the pieces without those that are both thin beside the usual one and short: strokes, dots, dirt."""
    if not pieces:
        return []
    least = MIN_THICKNESS * usual_thickness(pieces)
    return [piece for piece in pieces if piece.thickness > least or piece.length > MIN_THIN_LENGTH * least]


def usual_thickness(pieces: list[Course]) -> float:
    """Return the thickness of cores, px: the median, by length."""
    thickness, lengths = (np.array([getattr(piece, name) for piece in pieces]) for name in ("thickness", "length"))
    order = thickness.argsort()
    total = lengths[order].cumsum()
    return float(thickness[order][np.searchsorted(total, total[-1] / 2)])


def find_pieces(probability: np.ndarray) -> list[Course]:
    """Return the pieces of lines in a map of probabilities (H, W), a course for each connected patch of text."""
    pieces = []
    for inside, left, top in patches(probability, MIN_PROBABILITY):
        box = probability[top : top + inside.shape[0], left : left + inside.shape[1]]
        if box[inside].mean() < MIN_MEAN_PROBABILITY:
            continue
        for part in apart(np.where(inside, box, 0)):
            rows, columns = np.nonzero(part)
            pieces.append(course_of(np.stack([columns + left, rows + top], axis=1) + 0.5))
    return without_specks(pieces)


def patches(probability: np.ndarray, least: float) -> list[tuple[np.ndarray, int, int]]:
    """Return each connected patch of a map (H, W) more probable than `least`: bool (h, w), and its left and top."""
    _, numbers, stats, _ = cv2.connectedComponentsWithStats((probability > least).astype(np.uint8), connectivity=4)
    found = []
    for number, (left, top, width, height, area) in enumerate(stats.tolist()):
        if number and area >= MIN_PIXELS:
            found.append((numbers[top : top + height, left : left + width] == number, left, top))
    return found


def apart(probability: np.ndarray) -> list[np.ndarray]:
    """Return the parts of a patch (H, W), 0 around it, each bool (H, W): several where lines have grown together.

    They have where many columns of the patch go through more than one stretch of text. Then only what is more probable
    is looked at, until they come apart; what is less probable belongs to the nearest of the larger parts.
    """
    inside = probability > 0
    for least in HIGHER_PROBABILITIES if is_grown_together(inside) else ():
        parts = patches(probability, least)
        if any(is_grown_together(part) for part, _, _ in parts) and least < HIGHER_PROBABILITIES[-1]:
            continue
        largest = max((part.shape[1] for part, _, _ in parts), default=0)
        markers = np.zeros(probability.shape, np.uint16)
        for number, (part, left, top) in enumerate(parts, start=1):
            if part.shape[1] > MIN_LENGTH * largest:
                markers[top : top + part.shape[0], left : left + part.shape[1]][part] = number
        nearest, _ = nearest_marker(markers)
        return [inside & (nearest == number) for number in np.unique(markers[markers > 0])]
    return [inside]


def nearest_marker(markers: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the number of the marker that is nearest to each pixel, uint16 (H, W), and its distance in px.

    markers: uint16 (H, W), 0 where there is none.
    """
    distance, labels = cv2.distanceTransformWithLabels(
        (markers == 0).astype(np.uint8), cv2.DIST_L2, 5, labelType=cv2.DIST_LABEL_PIXEL
    )
    number = np.zeros(labels.max() + 1, np.uint16)
    number[labels[markers > 0]] = markers[markers > 0]
    return number[labels], distance


def is_grown_together(patch: np.ndarray) -> bool:
    """Return whether a patch, bool (H, W), is of two lines, one above the other."""
    starts = np.diff(patch.astype(np.int8), axis=0, prepend=0) > 0  # (H, W): where a stretch of a column begins
    return (starts.sum(axis=0) > 1).mean() > MAX_DOUBLE


def course_of(pixels: np.ndarray) -> Course:
    """Return the course through the pixels (M, 2) of a patch: their middle at each step along their main axis."""
    center = pixels.mean(axis=0)
    variances, axes = np.linalg.eigh(np.cov((pixels - center).T) + 1e-3 * np.eye(2))
    along = axes[:, 1] * (1 if axes[np.abs(axes[:, 1]).argmax(), 1] > 0 else -1)  # to the right, or down
    if variances[1] < MIN_ELONGATION**2 * variances[0]:
        along = np.array([1.0, 0.0])  # a letter or two have no direction of their own
    across = np.array([-along[1], along[0]])
    p, q = (pixels - center) @ along, (pixels - center) @ across
    column = np.rint(p - p.min()).astype(int)
    mass = np.bincount(column)
    thickness = max(float(np.median(mass[mass > 0])), 1.0)
    middle = np.bincount(column, q)
    window = np.hanning(2 * int(3 * thickness) + 3)
    near = np.convolve(mass, window)[len(window) // 2 :][: len(mass)]
    middle = np.convolve(middle, window)[len(window) // 2 :][: len(mass)] / np.maximum(near, 1e-9)
    step = max(int(thickness), 1)
    steps = np.unique(np.append(np.arange(0, len(mass), step), len(mass) - 1))
    points = center + np.outer(steps + p.min(), along) + np.outer(middle[steps], across)
    return Course(lengthened(points, END * thickness), thickness)


def lengthened(points: np.ndarray, reach: float) -> np.ndarray:
    """Return points (P, 2) with one more at each end, `reach` px further on."""
    if len(points) < 2:
        further = np.array([reach, 0])
        return np.concatenate([points - further, points, points + further])
    few = min(4, len(points) - 1)
    start, stop = points[0] - points[few], points[-1] - points[-1 - few]
    start, stop = (arm / max(np.hypot(*arm), 1e-9) * reach for arm in (start, stop))
    return np.concatenate([[points[0] + start], points, [points[-1] + stop]])


def join_pieces(pieces: list[Course], rules: np.ndarray | None = None) -> list[Course]:
    """Return the lines: pieces that continue each other are joined, the nearest first.

    A gap of more than a word's is not closed where it is one between columns. rules: bool (H, W), True where a table
    has an upright ruled line, across which nothing is joined; what stands in one cell of a table is, even if it is far
    apart.
    """
    if not pieces:
        return []
    starts, stops = (np.array([piece.points[end] for piece in pieces]) for end in (0, -1))
    along = np.array([piece.direction for piece in pieces])
    thickness = np.array([piece.thickness for piece in pieces])
    gaps = starts[None] - stops[:, None]  # (from, to, 2)
    ahead = (gaps * along[:, None]).sum(axis=2)
    aside = np.abs(gaps[..., 0] * -along[:, None, 1] + gaps[..., 1] * along[:, None, 0])
    thicker = np.maximum(thickness[:, None], thickness)
    parallel = np.abs(along @ along.T) > np.cos(np.radians(MAX_BEND))
    in_cells = rules is not None and bool(rules.any())
    max_gap, max_overlap = (MAX_GAP_IN_CELL, MAX_OVERLAP_IN_CELL) if in_cells else (MAX_GAP, MAX_OVERLAP)
    allowed = parallel & (ahead < max_gap * thicker) & (ahead > -max_overlap * thicker)
    max_offset = MAX_OFFSET_IN_CELL if in_cells else MAX_OFFSET
    allowed &= aside < max_offset * thicker + MAX_DRIFT * np.maximum(ahead, 0)
    np.fill_diagonal(allowed, False)
    if not in_cells:
        wide = np.argwhere(allowed & (ahead > MAX_GAP_ALONE * thicker))
        allowed[tuple(wide[between_columns(pieces, wide)].T)] = False
    cost = np.abs(ahead) + OFFSET_COST * aside
    after: dict[int, int] = {}
    joined = set()
    head = list(range(len(pieces)))  # of each chain, by any of its members
    for one, other in sorted(zip(*np.nonzero(allowed), strict=True), key=lambda pair: cost[pair]):
        if one in after or other in joined or head[one] == head[other]:
            continue
        if rules is not None and crosses(rules, pieces[one].points[-2], pieces[other].points[1]):
            continue
        after[one] = other
        joined.add(other)
        old, new = head[other], head[one]
        head = [new if chain == old else chain for chain in head]
    lines = []
    for first in range(len(pieces)):
        if first in joined:
            continue
        chain = [first]
        while chain[-1] in after:
            chain.append(after[chain[-1]])
        lines.append(joined_course([pieces[number] for number in chain]))
    return lines


def between_columns(pieces: list[Course], pairs: np.ndarray) -> np.ndarray:
    """Return for which pairs of pieces, int (M, 2), the gap from the one to the other is between columns, bool (M,).

    It is if pieces stand above or below, and none of them runs over the gap.
    """
    left, top, right, bottom = np.array([piece.box for piece in pieces]).T
    middle, parts = (top + bottom) / 2, np.zeros(len(pairs), bool)
    for number, (one, other) in enumerate(pairs.tolist()):
        stop, start = pieces[one].points[-2, 0], pieces[other].points[1, 0]
        row, thicker = (middle[one] + middle[other]) / 2, max(pieces[one].thickness, pieces[other].thickness)
        away = np.abs(middle - row)
        near = (away < NEIGHBOURHOOD * thicker) & (away > thicker) & (right > left[one]) & (left < right[other])
        over = near & (left < stop) & (right > start)
        parts[number] = near.sum() >= MIN_NEIGHBOURS and not over.any()
    return parts


def resampled(points: np.ndarray) -> np.ndarray:
    """Return the places (L, 2) of each px along the way through points (P, 2)."""
    along = np.append(0, np.cumsum(np.hypot(*np.diff(points, axis=0).T)))
    at = np.arange(0, max(along[-1], 2.0))
    return np.stack([np.interp(at, along, points[:, axis]) for axis in (0, 1)], axis=1)


def crosses(rules: np.ndarray, start: np.ndarray, stop: np.ndarray) -> bool:
    """Return whether the way from one place to another, (x, y), leads over a True of `rules`, (H, W)."""
    steps = np.linspace(start, stop, 2 + int(np.abs(stop - start).max()))
    x, y = np.rint(steps).astype(int).T
    height, width = rules.shape
    return bool(rules[y.clip(0, height - 1), x.clip(0, width - 1)].any())


def joined_course(pieces: list[Course]) -> Course:
    """Return one course through pieces that follow each other."""
    if len(pieces) == 1:
        return pieces[0]
    direction = sum(piece.direction * piece.length for piece in pieces)
    inner = np.concatenate([piece.points[1:-1] for piece in pieces])  # the ends were only guessed
    inner = inner[np.argsort(inner @ direction, kind="stable")]
    thickness = np.average([piece.thickness for piece in pieces], weights=[piece.length for piece in pieces])
    return Course(lengthened(inner, END * thickness), float(thickness))
