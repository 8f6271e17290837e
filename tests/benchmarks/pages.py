"""How well pages are read: whether their lines are found, in which order, and what is lost beside lines cut by hand.

    python -m tests.benchmarks.pages --pages ../shared/data/pages --lines ../shared/data/copiste --threads 2

pages: a folder of folders with pictures of pages and their PAGE or ALTO. A line counts as covered if half of its
outline is within that of one line found. Order: of two lines that follow each other in the file, the one comes before
the other. CER by hand is that of the lines cut by the outlines in the file, CER of the page that of the lines found,
over the lines that a line found covers alone. Of hands that the model was trained on, only the ratio says something.

lines: a data set of pictures of lines, whose test split is put on pages of 20 lines, below each other and overlapping
by a quarter of their height (of two pixels the darker one counts).

A page of 25 of these lines, as JPEG, is timed; the memory is how much more the process took at most than for reading
the same lines one by one. Prints tables, then one line of JSON.
"""

import io
import json
import os
import resource
import time
from collections.abc import Sequence
from pathlib import Path

import click
import cv2
import numpy as np
import pandas as pd
from PIL import Image

from project.data import sources
from project.data.rows import Row, of_split
from project.evaluation.metrics import cer
from project.pages.page import Outline, Page
from project.recognition import image
from project.recognition.recognizer import Recognizer
from project.tracking.registry import BASE
from tests.rows import read_rows

COVERED = 0.5  # of a line's outline
REDUCTION = 2  # px of the page to one of the grid on which areas are counted
LINES_A_PAGE, TIMED_LINES = 20, 25
MARGIN = 60  # px around the lines of a page that is put together
OVERLAP = 0.25  # of a line's height
ROUNDS = 5  # the fastest counts: other processes can only make it slower


@click.command()
@click.option("--pages", "folder", type=click.Path(exists=True, file_okay=False, path_type=Path))
@click.option("--lines", "data", help="a data set of pictures of lines")
@click.option("--model", type=click.Path(exists=True, file_okay=False, path_type=Path), default=BASE)
@click.option("--threads", type=int, default=2)
def main(folder: Path | None, data: str | None, model: Path, threads: int) -> None:
    """Measure on real pages, on pages put together from lines, or both."""
    os.environ["OMP_NUM_THREADS"] = str(threads)
    recognizer = Recognizer.load(model)
    figures: dict[str, float] = {"threads": threads}
    if data:
        test = of_split(read_rows(data), "test")
        figures |= cost(recognizer, list(test["image"])[:TIMED_LINES])
        figures |= put_together(recognizer, list(test["image"]), list(test["text"]))
    if folder:
        table = pd.DataFrame([of_page(recognizer, rows) for rows in real_pages(folder)])
        print(table.to_string(index=False))
        figures |= in_all(table)
    print(json.dumps({name: round(float(value), 4) for name, value in figures.items()}))


def real_pages(folder: Path) -> list[list[Row]]:
    """Return the lines of each page in the folders of a folder."""
    pages: dict[str, list[Row]] = {}
    for inner in sorted(path for path in folder.iterdir() if path.is_dir()):
        for row in sources.stream_rows(inner):
            pages.setdefault(row.image.page, []).append(row)
    return list(pages.values())


def of_page(recognizer: Recognizer, rows: Sequence[Row]) -> dict[str, float | str]:
    """Compare what is found and read on a page with what its file says."""
    from project.pages.reading import read_page

    pixels = image.read_image(rows[0].image.page)
    page = read_page(pixels, recognizer)
    size = np.array(pixels.shape[::-1])
    truth = [np.array(row.image.outline) * size / (row.image.size or size) for row in rows]
    share = shares(truth, [line.outline for line in page.lines], pixels.shape)  # (lines, lines found)
    covered, best = share.max(axis=1) >= COVERED, share.argmax(axis=1)
    both = covered[:-1] & covered[1:] & (best[:-1] != best[1:])
    alone = np.bincount(best[covered], minlength=len(page.lines)) == 1
    chosen = [number for number in np.flatnonzero(covered) if alone[best[number]] and rows[number].text]
    texts = [rows[number].text for number in chosen]
    by_hand = recognizer.read([recognizer.line_image(image.read_image(rows[number].image)) for number in chosen])
    return {
        "page": Path(rows[0].image.page).stem[:24],
        "lines": len(rows),
        "covered": int(covered.sum()),
        "found": len(page.lines),
        "pairs": int(both.sum()),
        "in_order": int((best[:-1] < best[1:])[both].sum()),
        "characters": sum(map(len, texts)),
        "cer_by_hand": cer(texts, by_hand),
        "cer_page": cer(texts, [page.lines[best[number]].text for number in chosen]),
    }


def shares(truth: Sequence[np.ndarray], found: Sequence[Outline], shape: tuple[int, int]) -> np.ndarray:
    """Return which share of the area of each outline lies within each one found, (lines, lines found)."""
    masks = [
        [_mask(outline, shape) for outline in outlines] for outlines in (truth, [np.array(one, float) for one in found])
    ]
    if not found:
        return np.zeros((len(truth), 1))
    return np.array([[(own & other).sum() / max(own.sum(), 1) for other in masks[1]] for own in masks[0]])


def _mask(outline: np.ndarray, shape: tuple[int, int]) -> np.ndarray:
    mask = np.zeros([-(-side // REDUCTION) for side in shape], np.uint8)
    return cv2.fillPoly(mask, [np.rint(outline / REDUCTION).astype(np.int32)], 1) > 0


def in_all(table: pd.DataFrame) -> dict[str, float]:
    """Return the figures of all pages together."""
    weights = table["characters"] / table["characters"].sum()
    by_hand, page = (float((weights * table[name]).sum()) for name in ("cer_by_hand", "cer_page"))
    return {
        "lines": table["lines"].sum(),
        "covered": table["covered"].sum() / table["lines"].sum(),
        "found_by_lines": table["found"].sum() / table["lines"].sum(),
        "in_order": table["in_order"].sum() / table["pairs"].sum(),
        "cer_by_hand": by_hand,
        "cer_page": page,
        "cer_ratio": page / by_hand,
    }


def put_together(recognizer: Recognizer, pictures: Sequence, texts: Sequence[str]) -> dict[str, float]:
    """Read lines by themselves, and on pages where they stand apart and where they overlap."""
    from project.pages.reading import read_page

    figures = {"cer_lines": cer(texts, recognizer.read([recognizer.line_image(image.read_image(p)) for p in pictures]))}
    for name, overlap in (("apart", 0.0), ("overlapping", OVERLAP)):
        read: list[str] = []
        for start in range(0, len(pictures), LINES_A_PAGE):
            pixels, middles = stacked([image.read_image(p) for p in pictures[start : start + LINES_A_PAGE]], overlap)
            read += nearest_texts(read_page(pixels, recognizer), middles)
        figures[f"cer_{name}"] = cer(texts, read)
        figures[f"ratio_{name}"] = figures[f"cer_{name}"] / figures["cer_lines"]
    return figures


def stacked(lines: Sequence[np.ndarray], overlap: float) -> tuple[np.ndarray, np.ndarray]:
    """Return a page uint8 (H, W) with lines below each other, and the rows of their middles (N,)."""
    pitches = [round((1 - overlap) * len(line)) for line in lines]
    tops = MARGIN + np.cumsum([0, *pitches[:-1]])
    width = max(line.shape[1] for line in lines) + 2 * MARGIN
    paper = np.median([np.median(line) for line in lines])
    page = np.full((tops[-1] + len(lines[-1]) + MARGIN, width), paper, np.uint8)
    for line, top in zip(lines, tops, strict=True):
        place = page[top : top + len(line), MARGIN : MARGIN + line.shape[1]]
        np.minimum(place, line, out=place)
    return page, tops + np.array([len(line) / 2 for line in lines])


def nearest_texts(page: Page, middles: np.ndarray) -> list[str]:
    """Return the text of each line that was put on a page: of what was found nearest to its middle."""
    texts: list[list[tuple[int, str]]] = [[] for _ in middles]
    for line in page.lines:
        row = np.mean(line.outline, axis=0)[1]
        texts[int(np.abs(middles - row).argmin())].append((line.baseline[0][0], line.text))
    return [" ".join(text for _, text in sorted(parts)) for parts in texts]


def cost(recognizer: Recognizer, pictures: Sequence) -> dict[str, float]:
    """Return the seconds from a JPEG of a page to its text, and by how many MB that needs more than reading lines."""
    pixels, _ = stacked([image.read_image(picture) for picture in pictures], 0.0)
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "JPEG", quality=90)
    recognizer.read([recognizer.line_image(image.read_image(picture)) for picture in pictures])
    before = _peak_mb()
    start = time.perf_counter()
    from project.pages.reading import read_page

    seconds = []
    for _ in range(ROUNDS):
        read_page(file.getvalue(), recognizer)
        seconds.append(time.perf_counter() - start)
        start = time.perf_counter()
    return {"first_page_s": seconds[0], "page_s": min(seconds), "page_mb": _peak_mb() - before}


def _peak_mb() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024  # of KiB, on Linux


if __name__ == "__main__":
    main()
