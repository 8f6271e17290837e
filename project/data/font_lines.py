"""The data set `synthetic:FONTS:TEXTS`: lines from a folder of text files, written in the fonts of a folder.

A font is a writer, and is in one split only; so is a paragraph. A third of the lines looks as if cut from a page.
"""

import hashlib
import zlib
from collections.abc import Sequence
from functools import cache
from pathlib import Path

import joblib
import numpy as np
from PIL import ImageFont

from project.atomic import cache_home, cached_folder
from project.data import multilingual, page_conditions, synthetic
from project.data.multilingual import read_paragraphs, sample_lines
from project.data.page_conditions import add_page_ink, add_page_paper
from project.data.rows import SPLITS
from project.data.tables import drawn_row, write_drawn
from project.errors import InputError

SUFFIXES = (".ttf", ".otf", ".woff", ".woff2")
HELD_OUT = 8  # of so many fonts one is of the test split, and one of the validation split
ON_PAGE = 0.35  # share of the lines that look as if cut from a page
TRIES = 20  # fonts that are tried for a line with rare characters


def synthesize(fonts: str, texts: str, folder: str | Path | None, lines: dict[str, int], seed: int) -> Path:
    """Write a table for each split, of so many `lines`; returns the folder, at once if it was made before.

    fonts: a folder of font files. texts: a text file or a folder of .txt files, one for a language. folder: where made
    data sets are kept; None is the user's cache folder. Raise InputError that names what is missing.
    """
    files, paragraphs = find_fonts(fonts), list(read_paragraphs(texts).values())
    folder = Path(folder or cache_home())
    code = [Path(str(module.__file__)) for module in (synthetic, multilingual, page_conditions)] + [Path(__file__)]
    digest = hashlib.sha256(repr((lines, seed, paragraphs)).encode())
    for file in [*code, *files]:
        digest.update(file.name.encode() + file.read_bytes())

    def make(beside: Path) -> None:
        for split, count in lines.items():
            rows = draw_rows(split, sample_lines(split, count, paragraphs, seed), files, seed)
            write_drawn(rows, beside / f"{split}.parquet")

    return cached_folder(folder / f"fonts-{digest.hexdigest()[:16]}", make)


def find_fonts(folder: str) -> list[Path]:
    """Find the font files in a folder, three at least, so that each split has its own."""
    path = Path(folder).expanduser()
    files = sorted(file for file in path.glob("*") if file.suffix.lower() in SUFFIXES)
    if len(files) < len(SPLITS):
        raise InputError(
            f"fonts: {path} has {len(files)} font files ({', '.join(SUFFIXES)}); it takes {len(SPLITS)} or more, since "
            "no font is in two splits"
        )
    return files


def fonts_of(split: str, files: Sequence[Path]) -> list[Path]:
    """Select the fonts of a split, by a checksum of their names: one in `HELD_OUT`, and at least one, for each of
    validation and test.
    """
    ranked = sorted(files, key=lambda file: zlib.crc32(file.stem.encode()))
    held_out = max(1, len(files) // HELD_OUT)
    first = {"test": 0, "validation": held_out, "train": 2 * held_out}[split]
    return ranked[first:] if split == "train" else ranked[first : first + held_out]


def draw_rows(split: str, texts: Sequence[str], files: Sequence[Path], seed: int) -> list[dict]:
    """Draw a row for each text, in order, on all cores."""
    own = list(map(str, fonts_of(split, files)))
    jobs = max(1, min(joblib.cpu_count(), len(texts) // 100))
    tasks = (joblib.delayed(draw_row)(split, index, text, own, seed) for index, text in enumerate(texts))
    return list(joblib.Parallel(n_jobs=jobs, batch_size=25)(tasks))


def draw_row(split: str, index: int, text: str, files: Sequence[str], seed: int) -> dict:
    """Draw one row, in a font that has its characters; its random numbers depend on nothing else."""
    rng = np.random.default_rng([seed, SPLITS.index(split), index])
    file, written = choose_font(text, files, rng)
    return drawn_row(render(written, file, rng), written, Path(file).stem, split)


def choose_font(text: str, files: Sequence[str], rng: np.random.Generator) -> tuple[str, str]:
    """Choose a font that has the characters of `text`, and spell it as the font does: in capitals if it has no others.

    Where no font has them all, the characters that the last one lacks are left out.
    """
    for file in rng.permutation(files)[:TRIES].tolist():
        spelled = text.upper() if small_are_capitals(file) else text
        if not set(spelled) & lacking(file):
            break
    return file, "".join(one for one in spelled if one not in lacking(file)).strip() or "-"


def render(text: str, file: str, rng: np.random.Generator) -> np.ndarray:
    """Draw a line picture, uint8 (H, W), as `synthetic.render_line` does, or as if cut from a page."""
    if rng.random() > ON_PAGE:
        return synthetic.render_line(text, file, rng)
    ink, baseline, height = synthetic.draw_ink(text, file, rng)
    ink, baseline = add_page_ink(ink, baseline, height, rng)
    return add_page_paper(synthetic.lay_on_paper(ink, baseline, height, rng), baseline, height, rng)


@cache
def lacking(file: str) -> frozenset[str]:
    """Return which of the characters that lines may hold the font has no glyph for."""
    pen = ImageFont.truetype(file, 40)
    known = [chr(code) for code in range(33, 127)] + list(multilingual.LETTERS + multilingual.MARKS)
    nothing = glyph(pen, "\uffff")
    return frozenset(one for one in known if glyph(pen, one) in (nothing, b""))


def glyph(pen: ImageFont.FreeTypeFont, character: str) -> bytes:
    """Return the pixels of a character."""
    return bytes(pen.getmask(character))


@cache
def small_are_capitals(file: str) -> bool:
    """Return whether the font draws small letters as capitals, so that no reader could tell them apart: none goes below
    the line.
    """
    pen = ImageFont.truetype(file, 100)
    return max(pen.getbbox(one, anchor="ls")[3] for one in "gpy") < 10
