"""What happens to pictures of lines on their way: edges, light, paper, pens. Each takes an upright grey picture."""

from collections.abc import Callable

import numpy as np
from PIL import Image, ImageDraw

Condition = Callable[[Image.Image, np.random.Generator], Image.Image]


def paper_of(picture: Image.Image) -> int:
    """Return the grey of the paper, which most of a picture is."""
    return int(np.median(np.asarray(picture)))


def onto(picture: Image.Image, left: int, top: int, right: int, bottom: int, grey: int) -> Image.Image:
    """Add edges of one grey, so many px wide."""
    whole = Image.new("L", (picture.width + left + right, picture.height + top + bottom), grey)
    whole.paste(picture, (left, top))
    return whole


def resized(picture: Image.Image, factor: float) -> Image.Image:
    grey_or_coloured = picture.convert("L") if picture.mode == "1" else picture
    return grey_or_coloured.resize(
        (round(picture.width * factor), round(picture.height * factor)), Image.Resampling.BICUBIC
    )


def at_size(condition: Condition, factor: float, along: bool) -> Condition:
    """Return the condition of pictures `factor` times as large, scaled along with them or met by them at that size."""
    if factor == 1:
        return condition
    if along:
        return lambda picture, rng: resized(condition(picture, rng), factor)
    return lambda picture, rng: condition(resized(picture, factor), rng)


def dark_above(picture, rng):
    return onto(picture, 0, int(rng.integers(6, 24)), 0, 0, int(rng.integers(0, 60)))


def dark_below(picture, rng):
    return onto(picture, 0, 0, 0, int(rng.integers(6, 24)), int(rng.integers(0, 60)))


def dark_left(picture, rng):
    return onto(picture, int(rng.integers(20, 90)), 0, 0, 0, int(rng.integers(0, 60)))


def dark_right(picture, rng):
    return onto(picture, 0, 0, int(rng.integers(20, 90)), 0, int(rng.integers(0, 60)))


def black_surround(picture, rng):
    return onto(picture, *rng.integers(8, 30, 4).tolist(), 0)


def frame(picture, rng):
    """A line along all four edges."""
    return onto(onto(picture, 6, 6, 6, 6, paper_of(picture)), *[int(rng.integers(1, 5))] * 4, int(rng.integers(0, 60)))


def box(picture, rng):
    """A box that was drawn around the line, with paper outside."""
    paper, width = paper_of(picture), int(rng.integers(1, 4))
    boxed = onto(picture, *[int(side) for side in rng.integers(8, 24, 4)], paper)
    ImageDraw.Draw(boxed).rectangle(
        (0, 0, boxed.width - 1, boxed.height - 1), outline=int(rng.integers(0, 90)), width=width
    )
    return onto(boxed, *[int(rng.integers(4, 12))] * 4, paper)


def black_corners(picture, rng):
    """A page that was scanned askew and turned by 5 degrees, with black where there was no page."""
    angle = 5 if rng.random() < 0.5 else -5
    return picture.rotate(angle, Image.Resampling.BICUBIC, expand=True, fillcolor=0)


def rules(picture, rng):
    """Ruled paper: long dark lines above and below the writing, hardly level."""
    ruled, slope = onto(picture, 0, 10, 0, 10, paper_of(picture)), rng.uniform(-0.01, 0.01)
    for y in (5, ruled.height - 6):
        rise = slope * ruled.width / 2
        ImageDraw.Draw(ruled).line([(0, y - rise), (ruled.width, y + rise)], fill=int(rng.integers(40, 110)), width=2)
    return ruled


def shaded(picture: Image.Image, light: np.ndarray) -> Image.Image:
    """Multiply with the light, which is 0 to 1 at each pixel or column."""
    return Image.fromarray((np.asarray(picture) * light).clip(0, 255).astype(np.uint8))


def shadow(picture, rng):
    """A shadow with a soft edge over one half, as of the telephone that takes the picture."""
    x = (np.arange(picture.width) - picture.width * rng.uniform(0.35, 0.65)) / rng.uniform(3, 12)
    if rng.random() < 0.5:
        x = -x
    return shaded(picture, 1 - rng.uniform(0.4, 0.6) / (1 + np.exp(-x)))


def slanted_shadow(picture, rng):
    y, x = np.mgrid[: picture.height, : picture.width]
    across = (x - picture.width * rng.uniform(0.3, 0.7) + (y - picture.height / 2) * rng.uniform(-2, 2)) / 5
    return shaded(picture, 1 - rng.uniform(0.4, 0.6) / (1 + np.exp(-across)))


def gradient(picture, rng):
    ends = [1.0, rng.uniform(0.3, 0.5)]
    return shaded(picture, np.linspace(*(ends if rng.random() < 0.5 else ends[::-1]), picture.width))


def vignette(picture, rng):
    y, x = np.mgrid[-1 : 1 : picture.height * 1j, -1 : 1 : picture.width * 1j]
    return shaded(picture, 1 - rng.uniform(0.4, 0.6) * (x**2 + y**2) / 2)


def dither(picture, rng):
    return picture.convert("1")


def grid(picture, rng):
    """Squared paper with dark lines."""
    squared, step, grey = picture.copy(), int(rng.integers(14, 26)), int(rng.integers(90, 130))
    draw = ImageDraw.Draw(squared)
    for x in range(int(rng.integers(step)), picture.width, step):
        draw.line([(x, 0), (x, picture.height)], fill=grey)
    for y in range(int(rng.integers(step)), picture.height, step):
        draw.line([(0, y), (picture.width, y)], fill=grey)
    return Image.fromarray(np.minimum(np.asarray(squared), np.asarray(picture)))


def neighbours(picture, rng):
    """The feet of the line above and the heads of the line below."""
    height, gap = int(rng.integers(8, 14)), int(rng.integers(2, 6))
    pieces = np.roll(np.asarray(picture), picture.width // 3, axis=1)
    rows = np.flatnonzero((pieces < paper_of(picture) - 60).any(axis=1))
    paper = np.full((gap, picture.width), paper_of(picture), np.uint8)
    above, below = pieces[rows[-1] + 1 - height : rows[-1] + 1], pieces[rows[0] : rows[0] + height]
    return Image.fromarray(np.concatenate([above, paper, np.asarray(picture), paper, below]))


def specks(picture, rng):
    dirty = np.array(picture)
    dirty[rng.random(dirty.shape) < 0.02] = 0
    return Image.fromarray(dirty)


def struck_through(picture, rng):
    struck = picture.copy()
    ink = np.flatnonzero((np.asarray(picture) < paper_of(picture) - 60).any(axis=1))
    y, slope = ink[0] + 0.55 * np.ptp(ink), rng.uniform(-2, 2)
    ImageDraw.Draw(struck).line([(0, y - slope), (picture.width, y + slope)], fill=60, width=2)
    return struck


INKS_ON_PAPERS = [((0, 130, 0), (210, 40, 40)), ((20, 140, 20), (180, 60, 120)), ((255, 150, 0), (165, 180, 255))]
"""Pairs of nearly the same luminance."""


def hue(picture, rng):
    """Ink and paper of one luminance."""
    ink, paper = np.array(INKS_ON_PAPERS[rng.integers(len(INKS_ON_PAPERS))], float)
    grey = np.asarray(picture, float)[..., None]
    share = ((paper_of(picture) - grey) / (paper_of(picture) - grey.min())).clip(0, 1)
    return Image.fromarray((share * ink + (1 - share) * paper).round().astype(np.uint8))


def faint(picture, rng):
    """Thin pencil, some tens of grey levels under the paper, on a wide cut with a little grain."""
    grey = np.asarray(picture, float)
    share = ((paper_of(picture) - grey) / (paper_of(picture) - grey.min())).clip(0, 1)
    wide = np.asarray(onto(Image.fromarray((255 * share).astype(np.uint8)), 100, 20, 900, 30, 0)) / 255
    return Image.fromarray(
        (226 - rng.uniform(35, 50) * wide + rng.normal(0, 1.5, wide.shape)).clip(0, 255).astype(np.uint8)
    )


def light_on_dark(picture, rng):
    return Image.fromarray(255 - np.asarray(picture))


def white_sheet(picture, rng):
    """Faint pencil on grey paper, and a strip of another sheet, which is white."""
    grey = np.asarray(picture, float)
    share = ((paper_of(picture) - grey) / (paper_of(picture) - grey.min())).clip(0, 1)
    pencil = (182 - rng.uniform(35, 60) * share + rng.normal(0, 1.5, share.shape)).clip(0, 255).astype(np.uint8)
    strip = int(rng.integers(10, 24))
    return onto(Image.fromarray(pencil), 0, 6, 0, strip, 232).crop((0, 6, picture.width, picture.height + strip + 6))


EDGES: list[Condition] = [
    dark_above, dark_below, dark_left, dark_right, black_surround, frame, box, black_corners, rules,
]  # fmt: skip
LIGHT_AND_PAPER: list[Condition] = [
    shadow, slanted_shadow, gradient, vignette, dither, grid, neighbours, specks, struck_through, hue, faint,
    light_on_dark, white_sheet,
]  # fmt: skip
