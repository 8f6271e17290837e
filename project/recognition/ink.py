"""Grey pixels of a line -> the ink of its writing, without uneven light, edges of the scan, rules, specks, neighbours.

A picture in which none of these is found is only stretched in contrast. The background is a morphological closing, as
in the black top-hat transform (Serra 1982, "Image Analysis and Mathematical Morphology", chapter XII): it takes out
whatever is thinner than a letter is high, and keeps the edges of shadows.
"""

from collections.abc import Sequence

import cv2
import numpy as np

from project.recognition.image import MIN_CONTRAST

DARK = 96  # of 255: ink that counts
MARK_PIXELS = 8  # so many dark pixels are a mark, however large the paper is
MARK_CONTRAST = 72  # grey levels between paper and such a mark; less of it
MARK_SIGMAS = 6  # suffices on smooth paper: standard deviations of its grain
UNEVEN = 1.2  # ratio of the lightest to the darkest background above which the light is evened out
SURROUND = 0.3  # of the paper's grey: a darker background is no paper in shadow
FLARE = 8  # grey levels, added where backgrounds are divided: the noise of black is not amplified
ROWS = 40  # to which a picture is reduced where its background is estimated
DITHERED = 0.3  # roughness of dithered pictures; of writing it is less
DITHERED_CROSSINGS = 21  # the same, by height: it is that of a dithered picture that was scaled, too
SLOPE = 0.012  # px a px, of a rule
MIN_SPECKS = 20  # components
SPECK = 0.5  # of the area of a dot of the pen
SPECKS = 0.015  # of a picture, by the area of a dot each: where there are more specks, they are dirt
SPECKS_BY_STROKES = 1.5  # and where there are so many by one of all else


def ink_map(pixels: np.ndarray) -> np.ndarray:
    """Return how much ink of the writing is at each pixel: uint8 (H, W), paper 0, the darkest ink 255.

    pixels: uint8 (H, W), 0 black to 255 white; light ink on dark ground is inverted. If nothing but rules, specks and
    pieces of neighbouring lines is found, they are the writing.
    """
    ink = stretch(even_out(dark_on_light(undither(pixels))))
    writing = erase(ink, long_lines(ink))
    writing = erase(writing, pieces_and_specks(writing))
    return writing if writing.any() else ink


def undither(pixels: np.ndarray) -> np.ndarray:
    """Blur pixels, uint8 (H, W), that are dark or light by turns, as wide as their dots; return others as they are."""
    rough = roughness(pixels)
    if rough < DITHERED and rough * len(pixels) < DITHERED_CROSSINGS:
        return pixels
    sizes = [size for size in (1, 2, 3, 4) if min(pixels.shape) >= 8 * size]
    roughest = [roughness(_shrink(pixels, size)) / size**0.5 for size in sizes]
    sigma = max(0.9, min(1.3 * sizes[int(np.argmax(roughest))], len(pixels) / 45))
    return cv2.GaussianBlur(pixels, (0, 0), sigmaX=sigma)


def roughness(pixels: np.ndarray) -> float:
    """Return how often pixels, uint8 (H, W), go from dark to light or back: by pixel, across and down; at most 2."""
    dark, light = _percentiles(pixels, (0.5, 99.5))
    changes = cv2.norm(pixels[1:], pixels[:-1], cv2.NORM_L1) + cv2.norm(pixels[:, 1:], pixels[:, :-1], cv2.NORM_L1)
    return changes / pixels.size / max(light - dark, MIN_CONTRAST)


def dark_on_light(pixels: np.ndarray) -> np.ndarray:
    """Invert pixels, uint8 (H, W), if they show light strokes on dark ground."""
    for share in (0.5, 100 * MARK_PIXELS / pixels.size):  # %; the second finds a few strokes on a large sheet
        dark, middle, light = _percentiles(pixels, (share, 50, 100 - share))
        if light - dark >= MIN_CONTRAST:
            break
    if middle - dark >= 2 * (light - middle):
        return pixels
    if share != 0.5:
        return 255 - pixels if light - middle > middle - dark else pixels
    # Strokes vanish where the light areas are opened; a sheet on dark ground does not
    _, light_areas = cv2.threshold(_reduced(pixels), 0, 1, cv2.THRESH_BINARY | cv2.THRESH_OTSU)
    broad = _beyond_borders(cv2.MORPH_OPEN, light_areas, max(3, len(light_areas) // 6))
    return 255 - pixels if broad.sum() < 0.5 * light_areas.sum() else pixels


def even_out(pixels: np.ndarray) -> np.ndarray:
    """Divide pixels, uint8 (H, W), by their background if that is uneven: shadows, dark surroundings, other sheets."""
    small = _reduced(pixels)
    background = _beyond_borders(cv2.MORPH_CLOSE, small, 2 * (len(small) // 6) + 1)  # a third of the height
    lowest, paper, highest = _percentiles(background, (1, 90, 99))
    if highest + FLARE < UNEVEN * (lowest + FLARE):
        return pixels
    background = cv2.blur(cv2.erode(background, _square(3)), (3, 3))  # no darker line along an edge
    background = cv2.resize(background, pixels.shape[::-1], interpolation=cv2.INTER_LINEAR).astype(np.float32)
    even = (pixels + np.float32(FLARE)) * ((paper + FLARE) / (background + FLARE)) - FLARE
    surround = (background < SURROUND * paper).astype(np.uint8)
    even[cv2.dilate(surround, _square(4 * round(len(pixels) / ROWS) + 1)) > 0] = paper
    return even.clip(0, 255).astype(np.uint8)


def stretch(pixels: np.ndarray) -> np.ndarray:
    """Stretch the contrast of dark ink on light paper: uint8 (H, W), the paper and lighter 0, the darkest ink 255."""
    mark_share = 100 * MARK_PIXELS / pixels.size  # %
    few, darkest, quarter, middle, three_quarters = _percentiles(pixels, (mark_share, 0.5, 25, 50, 75))
    grain = (
        MARK_SIGMAS * (three_quarters - quarter) / 1.35
    )  # of a normal distribution, the quartiles are 1.35 sigma apart
    mark_contrast = min(MARK_CONTRAST, max(MIN_CONTRAST, grain))
    if middle - darkest >= MIN_CONTRAST:
        dark = darkest
    elif middle - few >= mark_contrast:  # a few strokes on a large sheet
        dark = few
    else:
        return np.zeros_like(pixels)
    table = (0.95 * middle - np.arange(256)) / (0.95 * middle - dark)  # 5 % under the paper's grey: its grain is no ink
    return cv2.LUT(pixels, np.rint(255 * table.clip(0, 1)).astype(np.uint8))


def long_lines(ink: np.ndarray) -> np.ndarray:
    """Find long straight lines, but for where writing crosses them: rules, frames, grids, what strikes a line out.

    A level one is nearly as wide as the picture, uint8 (H, W); an upright one goes from one such line or edge of the
    picture to another. Returns a mask, uint8 (H, W), 0 or 1.
    """
    height, width = ink.shape
    mask = _mask(ink)
    # Level, nearly from edge to edge
    length = round(max(1.2 * height, min(3 * height, 0.6 * width)))
    level = np.zeros_like(mask)
    runs = _straight(mask, length, 1)
    if runs.any():
        labels, boxes = _components(runs)
        lefts, widths = boxes[:, cv2.CC_STAT_LEFT], boxes[:, cv2.CC_STAT_WIDTH]
        margin = max(0.07 * width, 0.25 * height)
        level = ((lefts <= margin) & (lefts + widths >= width - margin))[labels] & runs
    # Upright: thin, with both ends at a level line or an edge
    lines = level.astype(np.uint8)
    upright = _straight(mask, 1, max(2, round(0.4 * height)))
    if upright.any():
        ends = lines.copy()
        ends[:3], ends[-3:] = 1, 1
        near_end = cv2.dilate(ends, _square(5))
        labels, boxes = _components(upright)
        for label, (left, top, wide, high, _) in enumerate(boxes[1:], start=1):
            if high > 6 * wide and near_end[[top, top + high - 1], left : left + wide].any(axis=1).all():
                lines[labels == label] = 1
    if not lines.any():
        return lines
    # Writing crosses a line where there is ink on both sides of it, or where the line is darker than elsewhere
    side = 2 * max(height // 18, round(pen_width(lines))) + 1
    crossing = cv2.morphologyEx(mask & (1 - lines), cv2.MORPH_CLOSE, _square(side))
    darker = ink > 1.25 * np.median(cv2.dilate(ink * lines, _square(3))[lines > 0])
    return lines & (1 - (crossing | darker))


def pieces_and_specks(ink: np.ndarray) -> np.ndarray:
    """Find pieces of neighbouring lines, and specks where there are many: a mask, uint8 (H, W), 0 or 1.

    Three or more low pieces that touch the upper or the lower edge are of a neighbour, unless a tall stroke touches it
    too: then it is the line itself that was cut close.
    """
    height = len(ink)
    labels, boxes = _components(_mask(ink))
    tops, heights, areas = (boxes[:, stat] for stat in (cv2.CC_STAT_TOP, cv2.CC_STAT_HEIGHT, cv2.CC_STAT_AREA))
    found = specks(labels, areas)
    for at_edge in (tops <= 1, tops + heights >= height - 1):
        low = at_edge & (heights < 0.3 * height)
        tall = at_edge & (heights > 0.45 * height)
        if low.sum() >= 3 and not tall[1:].any():
            found |= low
    found[0] = False  # the paper
    return found[labels].astype(np.uint8) if found.any() else np.zeros_like(ink)


def specks(labels: np.ndarray, areas: np.ndarray) -> np.ndarray:
    """Return which components, of these labels (H, W) and areas, are dirt: smaller than a dot of the pen, and many.

    The areas begin with that of the paper, whose label is 0.
    """
    sizes = areas[1:].astype(float)
    if len(sizes) < MIN_SPECKS:
        return np.zeros(len(areas), bool)
    large = areas > 0.1 * (sizes @ sizes) / sizes.sum()  # of the mean size of what a pixel of ink belongs to
    large[0] = False
    dot = pen_width(large[labels].astype(np.uint8)) ** 2
    small = areas <= SPECK * dot
    count = small.sum()
    return small & (count > SPECKS_BY_STROKES * (len(sizes) - count)) & (count * dot > SPECKS * labels.size)


def pen_width(mask: np.ndarray) -> float:
    """Return the mean width of strokes, uint8 (H, W) of 0 or 1, in px: twice their area by their outline."""
    area = cv2.countNonZero(mask)
    return 2 * area / max(area - cv2.countNonZero(cv2.erode(mask, _square(3))), 1)


def erase(ink: np.ndarray, found: np.ndarray) -> np.ndarray:
    """Take what was found (a mask) and its soft edge out of the ink, and nothing else that is dark."""
    if not found.any():
        return ink
    rest = _mask(ink) & (1 - found)
    return np.where(cv2.dilate(found, _square(3)) > rest, np.uint8(0), ink)


def _mask(ink: np.ndarray) -> np.ndarray:
    """Return where there is ink that counts: uint8 (H, W), 0 or 1."""
    return cv2.threshold(ink, DARK, 1, cv2.THRESH_BINARY)[1]


def _components(mask: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the connected components of a mask: labels (H, W), 0 around them, and OpenCV's statistics of each."""
    dtype = cv2.CV_16U if mask.size < 4 * 2**16 else cv2.CV_32S  # faster, if it can hold the labels
    _, labels, boxes, _ = cv2.connectedComponentsWithStatsWithAlgorithm(mask, 8, dtype, cv2.CCL_DEFAULT)
    return labels, boxes


def _straight(mask: np.ndarray, width: int, height: int) -> np.ndarray:
    """Find straight strokes of a mask, at least so wide or so high; the other of the two is 1.

    A stroke may rise by `SLOPE`. Writing that touches it is no part of it.
    """
    reach = 2 * max(1, round(SLOPE * max(width, height))) + 1
    across = np.ones((reach, 1) if height == 1 else (1, reach), np.uint8)
    runs = _runs(cv2.dilate(mask, across), width, height)
    core = cv2.erode(runs, across) & mask
    return core | (runs & mask & (1 - cv2.dilate(core, across, iterations=2)))


def _runs(mask: np.ndarray, width: int, height: int) -> np.ndarray:
    """Open a mask with a rectangle by box sums, whose time does not depend on its size; empty if it does not fit."""
    if width > mask.shape[1] or height > mask.shape[0]:
        return np.zeros_like(mask)
    whole = cv2.boxFilter(mask, cv2.CV_32S, (width, height), normalize=False, borderType=cv2.BORDER_CONSTANT)
    whole = (whole == width * height).astype(np.uint8)
    anchor = (width - 1 - width // 2, height - 1 - height // 2)  # mirrored
    spread = cv2.boxFilter(
        whole, cv2.CV_32S, (width, height), anchor=anchor, normalize=False, borderType=cv2.BORDER_CONSTANT
    )
    return (spread > 0).astype(np.uint8)


def _shrink(pixels: np.ndarray, factor: int) -> np.ndarray:
    """Reduce a picture by averaging squares of so many px."""
    size = [max(1, side // factor) for side in pixels.shape[::-1]]
    return cv2.resize(pixels, size, interpolation=cv2.INTER_AREA)


def _reduced(pixels: np.ndarray) -> np.ndarray:
    """Reduce a picture to about `ROWS` rows, without specks."""
    return cv2.medianBlur(_shrink(pixels, max(1, round(len(pixels) / ROWS))), 3)


def _beyond_borders(operation: int, pixels: np.ndarray, side: int) -> np.ndarray:
    """Apply a morphological operation with a square, as if what is at the borders went on beyond them."""
    padded = cv2.copyMakeBorder(pixels, side, side, side, side, cv2.BORDER_REPLICATE)
    return cv2.morphologyEx(padded, operation, _square(side))[side:-side, side:-side]


def _square(side: int) -> np.ndarray:
    return np.ones((side, side), np.uint8)


def _histogram(pixels: np.ndarray) -> np.ndarray:
    return cv2.calcHist([pixels], [0], None, [256], [0, 256]).ravel()


def _percentiles(pixels: np.ndarray, percents: Sequence[float]) -> list[int]:
    """Return the grey levels below which these percentages of the pixels lie; by a histogram, faster than sorting."""
    shares = np.cumsum(_histogram(pixels), dtype=float) / pixels.size
    return [int(np.searchsorted(shares, percent / 100)) for percent in percents]
