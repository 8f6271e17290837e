"""What a real page adds to a line: neighbours, bleed-through, blots, strokes, pencil, shadow, ruling."""

import numpy as np
from PIL import Image, ImageDraw, ImageFilter


def add_page_ink(ink: np.ndarray, baseline: int, height: float, rng: np.random.Generator) -> tuple[np.ndarray, int]:
    """Add what else is on the page to a line's ink, each by chance: (H, W) in [0, 1] -> (H', W'), and its baseline.

    The crop is loosened; the lines above and below reach into it; the back of the sheet shines through; ink drops fall;
    a stroke runs under or through words; the whole is faint pencil. height: of the writing, px.
    """
    if rng.random() < 0.6:
        ink, baseline = loosen(ink, baseline, height, rng)
    for above in (True, False):
        if rng.random() < 0.7:
            ink = np.maximum(ink, neighbour(ink, height, above, rng))
    if rng.random() < 0.3:
        ink = np.maximum(ink, bleed_through(ink, rng))
    if rng.random() < 0.25:
        ink = np.maximum(ink, blots(ink.shape, height, rng))
    if rng.random() < 0.12:
        ink = np.maximum(ink, long_stroke(ink.shape, baseline, height, rng))
    return (pencil(ink, rng) if rng.random() < 0.3 else ink), baseline


def add_page_paper(pixels: np.ndarray, baseline: int, height: float, rng: np.random.Generator) -> np.ndarray:
    """Lay a shadow and ruling over a line picture, uint8 (H, W), each by chance."""
    paper = np.ones(pixels.shape, np.float32)
    if rng.random() < 0.35:
        paper *= shadow(pixels.shape, rng)
    if rng.random() < 0.35:
        paper *= ruling(pixels.shape, baseline, height, rng)
    return (pixels * paper).astype(np.uint8)


def loosen(ink: np.ndarray, baseline: int, height: float, rng: np.random.Generator) -> tuple[np.ndarray, int]:
    """Leave empty paper around the ink: up to 0.35 of the height above and below, up to 1 before and after."""
    above, below, before, after = (rng.uniform(0, (0.35, 0.35, 1, 1)) * height).astype(int)
    return np.pad(ink, ((above, below), (before, after))), baseline + int(above)


def neighbour(ink: np.ndarray, height: float, above: bool, rng: np.random.Generator) -> np.ndarray:
    """Return the part of the line above or below that reaches into the crop: this line's own ink, moved."""
    pitch = min(round(rng.uniform(1, 1.5) * height), len(ink) - 1)
    other = np.roll(ink, int(rng.integers(ink.shape[1])), axis=1)
    moved = np.zeros_like(ink)
    if above:
        moved[:-pitch] = other[pitch:]
    else:
        moved[pitch:] = other[:-pitch]
    return moved


def bleed_through(ink: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Return the writing on the back of the sheet, mirrored, blurred and pale."""
    height, width = ink.shape
    shift = int(rng.integers(-height // 3, height // 3 + 1)), int(rng.integers(width))
    return blurred(np.roll(ink[:, ::-1], shift, axis=(0, 1)), rng.uniform(0.8, 2.5)) * rng.uniform(0.1, 0.4)


def blots(shape: tuple[int, int], height: float, rng: np.random.Generator) -> np.ndarray:
    """Draw one to three drops of ink."""
    picture = Image.new("L", shape[::-1])
    draw = ImageDraw.Draw(picture)
    for _ in range(rng.integers(1, 4)):
        x, y = rng.uniform(0, shape[::-1])
        across, down = height * rng.uniform(0.02, 0.12) * rng.uniform(0.6, 1.5, 2)
        draw.ellipse((x - across, y - down, x + across, y + down), fill=255)
    return blurred(np.asarray(picture) / np.float32(255), 1) * rng.uniform(0.4, 1)


def long_stroke(shape: tuple[int, int], baseline: int, height: float, rng: np.random.Generator) -> np.ndarray:
    """Draw a stroke of the pen under some words."""
    picture = Image.new("L", shape[::-1])
    left, y = rng.uniform(0, 0.8 * shape[1]), baseline + rng.uniform(0.02, 0.2) * height
    right = min(shape[1], left + rng.uniform(1, 6) * height)
    ends = (left, y, right, y + rng.normal(0, 0.05) * height)
    ImageDraw.Draw(picture).line(ends, fill=255, width=int(rng.integers(1, 4)))
    return blurred(np.asarray(picture) / np.float32(255), 0.6)


def pencil(ink: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Make the ink pale, and broken by the grain of the paper."""
    grain = blurred(rng.random(ink.shape, dtype=np.float32), 0.7)
    return ink * (rng.uniform(0.3, 0.65) * np.clip(0.4 + 1.2 * grain, 0, 1))


def shadow(shape: tuple[int, int], rng: np.random.Generator) -> np.ndarray:
    """Return how much light reaches each pixel, (H, W): less, by 10 to 40 %, on one side of a soft edge."""
    y, x = np.linspace(-1, 1, shape[0])[:, None], np.linspace(-1, 1, shape[1])
    side = x * rng.choice([-1, 1]) + y * rng.normal(0, 0.3) - rng.uniform(-0.8, 0.8)
    return (1 - rng.uniform(0.1, 0.4) / (1 + np.exp(-rng.uniform(2, 10) * side))).astype(np.float32)


def ruling(shape: tuple[int, int], baseline: int, height: float, rng: np.random.Generator) -> np.ndarray:
    """Return how much light ruled or squared paper reflects, (H, W)."""
    light = np.ones(shape, np.float32)
    pitch, thick = height * rng.uniform(0.4, 1.5), int(rng.integers(1, 3))
    for row in np.arange((baseline + rng.normal(2, 3)) % pitch, shape[0], pitch).astype(int):
        light[row : row + thick] = rng.uniform(0.55, 0.9)
    if pitch < 0.8 * height:
        for column in np.arange(rng.uniform(0, pitch), shape[1], pitch).astype(int):
            light[:, column : column + thick] = rng.uniform(0.55, 0.9)
    return light


def blurred(ink: np.ndarray, radius: float) -> np.ndarray:
    """Blur ink (H, W) in [0, 1] by a Gaussian of this radius, px."""
    picture = Image.fromarray((255 * ink).astype(np.uint8)).filter(ImageFilter.GaussianBlur(radius))
    return np.asarray(picture, np.float32) / 255
