"""Text + a handwriting font -> a line image: the embedded default data.

A font is a writer, as in Krishnan and Jawahar 2016 (arXiv 1608.04224): each split has its own fonts, and its own
texts (see `texts`).
"""

import functools
import hashlib
import importlib.metadata
import importlib.util
import json
import re
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import joblib
import numpy as np
from PIL import Image, ImageChops, ImageDraw, ImageFilter, ImageFont
from tqdm import tqdm

from project.atomic import cache_home, cached_folder
from project.data import texts
from project.data.rows import SPLITS
from project.data.tables import drawn_row, write_drawn
from project.data.texts import line_texts
from project.errors import InputError

PLAIN = ("fontpkg-caveat", "fontpkg-delius", "fontpkg-shadows-into-light", "fontpkg-zeyada")
ORNATE = ("fontpkg-great-vibes", "fontpkg-pacifico", "fontpkg-permanent-marker", "fontpkg-yellowtail")
FONTS: dict[str, tuple[str, ...]] = {
    "train": PLAIN + ORNATE,
    "validation": ("fontpkg-kalam", "fontpkg-satisfy"),  # print, and joined
    "test": ("fontpkg-indie-flower", "fontpkg-dancing-script"),  # likewise
}
LINES = {"train": 4000, "validation": 400, "test": 400}  # where no other numbers are asked for
JOINED_SPECKS = 20  # px of a word of 100 px that may lie apart from its one stroke
JOINED = {"caveat", "dancing-script", "great-vibes", "pacifico", "satisfy", "yellowtail"}  # joined letters


def synthesize(folder: str | Path | None, lines: dict[str, int], seed: int, jobs: int = -1) -> Path:
    """Write `train.parquet`, `validation.parquet`, `test.parquet`: columns image, text, writer, split.

    folder: where made data sets are kept, a subfolder each; None is the user's cache folder.
    lines: how many for each split, such as {"train": 6000, "validation": 600, "test": 600}.
    jobs: worker processes, -1 for one a core; the result does not depend on it.
    Returns the subfolder, at once if it was made before.
    Raise InputError that names an unknown split, a negative count, or a font that is not installed.
    """
    folder = Path(folder or cache_home())
    made = folder / f"synthetic-{digest(lines, seed)}"
    return cached_folder(made, lambda beside: write_splits(beside, lines, seed, jobs))


def write_splits(folder: Path, lines: dict[str, int], seed: int, jobs: int) -> None:
    """Write the table of each split; the parameters are those of `synthesize`."""
    to_write = {split: line_texts(split, count, seed) for split, count in lines.items()}
    for split, written in to_write.items():
        rows = draw_rows(split, written, seed, jobs)
        bar = tqdm(rows, total=len(written), desc=f"writing {split}", unit="line", leave=False, mininterval=1)
        write_drawn(list(bar), folder / f"{split}.parquet")


def render_line(text: str, font: str, rng: np.random.Generator) -> np.ndarray:
    """Draw a line image as a line finder cuts it from a page: uint8 (H, W), 0 black to 255 white, H about 64.

    font: a package of `FONTS`, or the path of a font file. Raise InputError if the package is not installed.
    """
    ink, baseline, height = draw_ink(text, font, rng)
    return lay_on_paper(ink, baseline, height, rng)


def draw_ink(text: str, font: str, rng: np.random.Generator) -> tuple[np.ndarray, int, float]:
    """Write a line without its paper: ink (H, W), 0 to 1, the row of its baseline, and how high it is written, px."""
    height = rng.uniform(40, 60)  # px from the top of the ascenders to the foot of the descenders
    ink = write_text(text, font, height, rng)
    ink = bend(ink, height, rng)
    ink, baseline = cut_out(ink, height, rng)
    return press(ink, rng), baseline, height


def digest(lines: dict[str, int], seed: int) -> str:
    """Return 16 hex digits of all that the data set depends on."""
    fonts = [font for split in FONTS.values() for font in split if font_files(font)]
    versions = [importlib.metadata.version(package) for package in ("faker", "numpy", "pillow", *fonts)]
    settings = json.dumps([lines, seed, versions], sort_keys=True).encode()
    files = (Path(__file__), Path(texts.__file__), texts.PROSE)
    return hashlib.sha256(settings + b"".join(file.read_bytes() for file in files)).hexdigest()[:16]


def draw_rows(split: str, written: list[str], seed: int, jobs: int) -> Iterator[dict]:
    """Yield the rows of a split, in order. joblib's worker processes, unlike multiprocessing's, do not import the
    caller's main module: no torch is loaded, and a notebook can call this."""
    cores = joblib.cpu_count() if jobs == -1 else jobs
    jobs = max(1, min(cores, len(written) // 100))  # to start a process takes as long as a hundred lines
    tasks = (joblib.delayed(draw_row)(split, index, text, seed) for index, text in enumerate(written))
    return joblib.Parallel(n_jobs=jobs, return_as="generator", batch_size=25)(tasks)


def draw_row(split: str, index: int, text: str, seed: int) -> dict:
    """Return one row; its random numbers are its own, so that it does not matter which process makes it, or when."""
    rng = np.random.default_rng([seed, SPLITS.index(split), index])
    shares = np.array([1 if font in ORNATE else 2 for font in FONTS[split]])
    font = str(rng.choice(FONTS[split], p=shares / shares.sum()))
    if font == "fontpkg-permanent-marker":  # its small letters are smaller capitals: no reader could tell
        text = text.upper()
    writer = font.removeprefix("fontpkg-").replace("-", " ").title()
    return drawn_row(render_line(text, font, rng), text, writer, split)


@functools.cache
def font_files(font: str) -> tuple[str, ...]:
    """Return the font's files: one a weight, or one for all weights. font: a package of `FONTS`, or a file's path."""
    if Path(font).is_file():
        return (font,)
    module = importlib.util.find_spec(font.replace("-", "_"))
    if module is None or module.origin is None:
        raise InputError(f"font {font!r} is not installed; there are {', '.join(sum(FONTS.values(), ()))}")
    return tuple(sorted(map(str, Path(module.origin).parent.glob("files/*.ttf"))))


@functools.lru_cache(maxsize=1000)
def open_font(file: str, weight: int, size: int, joined: bool) -> ImageFont.FreeTypeFont:
    """Return the font at `size` px. Raqm, where Pillow has it, varies and joins letters; for one it is slow."""
    layout = ImageFont.Layout.RAQM if joined else ImageFont.Layout.BASIC
    pen = ImageFont.truetype(file, size, layout_engine=layout)
    if "[wght]" in file:
        pen.set_variation_by_axes([weight])
    return pen


@functools.cache
def joins_letters(font: str) -> bool:
    """Return whether the font writes words in one stroke: known of the packages; of a file, "nun" tells, one piece of
    ink or several.
    """
    if not Path(font).is_file():
        return font.removeprefix("fontpkg-") in JOINED
    pen = open_font(font, 400, 100, False)
    left, top, right, bottom = pen.getbbox("nun")
    word = Image.new("L", (round(right - left) + 2, round(bottom - top) + 2))
    ImageDraw.Draw(word).text((1 - left, 1 - top), "nun", fill=255, font=pen)
    word = word.point(lambda grey: 255 * (grey > 64))
    row, column = np.argwhere(np.asarray(word))[0].tolist()
    ImageDraw.floodfill(word, (column, row), 128)
    return int((np.asarray(word) == 255).sum()) < JOINED_SPECKS


@functools.cache
def font_size(file: str) -> float:
    """Return the font size that makes letters and brackets together 1 px high."""
    _, top, _, bottom = open_font(file, 400, 200, False).getbbox("Ahgpy(|Q")
    return 200 / (bottom - top)


def write_text(text: str, font: str, height: float, rng: np.random.Generator) -> Image.Image:
    """Draw the text, 255 on 0, the baseline at half the height and room around; letter by letter, or word by
    word where the letters are joined."""
    joined = joins_letters(font)
    file = str(rng.choice(font_files(font)))
    weight = 100 * int(rng.integers(4, 8))
    pen = open_font(file, weight, round(height * font_size(file)), joined)
    pieces = re.split("( )", text) if joined else list(text)
    space, tracking, jitter = rng.uniform(0.9, 1.6), rng.uniform(-0.02, 0.08) * height, 0.015 * height
    advances = np.array([pen.getlength(piece) * (space if piece == " " else 1) for piece in pieces])
    advances += rng.normal(0 if joined else tracking, jitter, len(pieces))
    room = round(1.1 * height)
    x = room + np.cumsum(advances) - advances
    y = room + rng.normal(0, jitter, len(pieces))
    drawing = Image.new("L", (round(2 * room + advances.sum()), 2 * room))
    draw = ImageDraw.Draw(drawing)
    for piece, left, baseline in zip(pieces, x.tolist(), y.tolist(), strict=True):
        draw.text((left, baseline), piece, fill=255, font=pen, anchor="ls")
    return drawing


def bend(ink: Image.Image, height: float, rng: np.random.Generator) -> Image.Image:
    """Distort a line: slant, stretch, drift of the baseline, growth, and a little difference between a letter and the
    same letter elsewhere. A mesh of quads about a letter wide, in one resampling.
    """
    width, middle = ink.width, ink.height // 2
    columns = np.linspace(0, width, max(3, round(2 * width / height)))
    x, y = np.meshgrid(columns, [-middle, middle])  # (2, columns), y from the baseline
    wave, other_wave = (np.sin(columns / height * rng.uniform(0.2, 1) + rng.uniform(0, 6)) for _ in range(2))
    drift = height * (rng.normal(0, 0.03) * wave + rng.normal(0, 0.06) * (columns / width - 0.5))
    from_x = x + rng.normal(0, 0.14) * y + rng.normal(0, 0.06 * height, x.shape)
    from_y = middle + y * (1 + 0.08 * other_wave) + drift + rng.normal(0, 0.03 * height, x.shape)
    points = np.stack([from_x, from_y], axis=2)  # (2, columns, 2)
    corners = points[0, :-1], points[1, :-1], points[1, 1:], points[0, 1:]
    quads = np.concatenate(corners, axis=1).tolist()  # [columns - 1][8]
    to_x = (columns * rng.uniform(0.85, 1.15)).round().astype(int).tolist()
    boxes = [(left, 0, right, ink.height) for left, right in pairwise(to_x)]
    mesh = list(zip(boxes, quads, strict=True))
    return ink.transform((to_x[-1], ink.height), Image.Transform.MESH, mesh, Image.Resampling.BILINEAR)


def cut_out(ink: Image.Image, height: float, rng: np.random.Generator) -> tuple[Image.Image, int]:
    """Cut to the ink and a margin, at times with the feet of the line above or the heads of the line below
    (which are this line's own, moved). Returns the cutting and the row of its baseline."""
    left, top, right, bottom = ink.getbbox() or (0, 0, *ink.size)
    above, below = rng.integers(2, round(0.3 * height), 2).tolist()
    before, after = rng.integers(2, round(0.6 * height), 2).tolist()
    cut = ink.crop((left - before, top - above, right + after, bottom + below))
    deep, shift = int(rng.integers(2, 7)), int(rng.integers(cut.width))
    for margin, strip, row in ((above, bottom - deep, 0), (below, top, cut.height - deep)):
        if margin > deep and rng.random() < 0.08:
            remains = ink.crop((left - before, strip, right + after, strip + deep))
            cut.paste(ImageChops.offset(remains, shift, 0), (0, row))
    return cut, ink.height // 2 - top + above


def press(ink: Image.Image, rng: np.random.Generator) -> np.ndarray:
    """Vary width and pressure of the pen: float32 (H, W), 0 paper to 1 ink.

    Ink is where the blurred drawing is above a level: the lower the level, the wider the stroke.
    """
    blurred = np.asarray(ink.filter(ImageFilter.BoxBlur(rng.uniform(0.6, 1.1))), dtype=np.float32)  # (H, W)
    stroke = blurred[blurred > 64].mean() if blurred.max() > 64 else 255  # thin strokes lose more by the blur
    pressure = 0.08 * np.sin(np.arange(ink.width) / rng.uniform(10, 80) + rng.uniform(0, 6))
    level = rng.uniform(0.3, 0.75) + pressure.astype(np.float32)
    return np.clip((blurred / stroke - level) * rng.uniform(1.5, 3) + 0.4, 0, 1) * (blurred > 0)


def lay_on_paper(ink: np.ndarray, baseline: int, height: float, rng: np.random.Generator) -> np.ndarray:
    """Lay ink (H, W) in [0, 1] on paper that is unevenly lit, grainy, at times ruled or squared: uint8 (H, W)."""
    h, w = ink.shape
    y, x = np.linspace(-1, 1, h, dtype=np.float32)[:, None], np.linspace(-1, 1, w, dtype=np.float32)
    a, b, c, d = rng.normal(0, 4, 4).tolist()
    paper = rng.uniform(195, 250) + a * y + b * x + c * np.sin(d * x)  # (H, W)
    if rng.random() < 0.25:
        shade, thick = rng.uniform(0.7, 0.93), int(rng.integers(1, 3))
        pitch = round(height * rng.uniform(0.9, 1.4))
        for row in range((baseline + round(rng.normal(1, 0.05 * height))) % pitch, h, pitch):
            paper[row : row + thick] *= shade
        for column in range(int(rng.integers(pitch)), w, pitch if rng.random() < 0.2 else 10**6):
            paper[:, column : column + thick] *= shade  # squared paper, or one margin line
    blackness = rng.uniform(0.6, 0.97) + 0.04 * np.sin(x * rng.uniform(3, 30))
    grain = rng.standard_normal((h, w), dtype=np.float32) * np.float32(rng.gamma(2.0, 1.2))
    return np.clip(paper * (1 - ink * blackness) + grain, 0, 255).astype(np.uint8)
