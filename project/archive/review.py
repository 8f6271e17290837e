"""The least certain lines, handed to a person for correction; what comes back is a data set to train on.

`lines.csv` has the columns `image`, `text`, still empty, and `page`, `read`, `confidence` and `source`; its pictures
are in the folder `lines`. `lines.html` shows the same lines in a browser, those of a page beside it, and saves those
that a person has confirmed as a `lines.csv` to take its place.
"""

import html
from contextlib import suppress
from pathlib import Path
from urllib.parse import quote

import numpy as np
import pandas as pd
from PIL import Image
from tqdm import tqdm

from project.archive import transcription
from project.archive.summary import places
from project.atomic import check_outside, replaced
from project.errors import InputError
from project.pages.line_or_page import decode_picture
from project.pages.reading import find_lines
from project.recognition.recognizer import Recognizer

TEMPLATE = Path(__file__).with_name("review.html")
HANDED_OUT = "_handed_out.txt"  # beside the parts of an archive: a place (see `summary.places`) in each row
MAX_SIDE = 1800  # px of the picture of a page that is shown
LINE = '<li><img src="{address}" alt=""><input dir="auto" value="{read}" data-image="{image}" data-page="{page}"></li>'
OUTLINE = '<polygon points="{outline}" data-image="{image}"/>'
PAGE = """<section class="page">
<figure><img src="{address}" alt="{page}"><svg viewBox="0 0 {width} {height}">{outlines}</svg></figure>
<div><ol>
{items}
</ol><button class="whole">Confirm all lines of this page</button></div>
</section>"""


def check_place(review: Path, images: str, parts: Path, output: Path) -> None:
    """Raise InputError if `review` is no CSV table, is there already (it may hold somebody's corrections), stands among
    the pictures or the parts, where it would be taken for one of them, or would take the place of `output`.
    """
    if review.suffix != ".csv":
        raise InputError(f"review: {review} is not a .csv table")
    for folder in (images, parts):
        check_outside(folder, "review", review)
    if {review.resolve(), review.with_suffix("").resolve()} & {parts.resolve(), output.resolve()}:
        raise InputError(f"review: {review} and its folder would stand where the output stands; choose another name")
    if there := [path for path in (review, review.with_suffix(""), review.with_suffix(".html")) if path.exists()]:
        raise InputError(f"review: {there[0]} is there already; it is never overwritten")


def reviewed_places(parts: Path) -> set[str]:
    """Return the places of the lines that earlier reviews of an archive had (see `summary.places`)."""
    path = parts / HANDED_OUT
    return set(path.read_text("utf-8").split("\n")) if path.exists() else set()


def write_review(images: str, lines: pd.DataFrame, review: Path, parts: Path, recognizer: Recognizer) -> int:
    """Write the table, its pictures and its page, and remember what was handed out; returns how many lines that were.

    lines: rows of the table of `transcription`, the least certain first; those of a page come to stand together, in
    their order. A picture that is gone by now is left out.
    """
    folder = review.with_suffix("")
    lines = lines.assign(place=places(lines), page=lines["source"].where(lines["line"].notna(), ""))
    group = lines["page"].where(lines["page"] != "", lines["place"])
    lines = lines.iloc[np.lexsort([lines["line"].fillna(0), pd.factorize(group)[0]])]
    lines = lines.assign(name=[f"{number:04}.png" for number in range(1, len(lines) + 1)])
    with replaced(folder) as beside:
        beside.mkdir()
        sizes = save_pictures(images, lines, beside, recognizer)  # of pages, by source
        lines = lines[[(beside / name).exists() for name in lines["name"]]]
    lines = lines.assign(image=f"{folder.name}/" + lines["name"], read=lines["text"], text="")
    page = TEMPLATE.read_text("utf-8").replace("{table}", html.escape(review.name))
    with replaced(review.with_suffix(".html")) as path:
        path.write_text(page.replace("{lines}", groups_of(lines, sizes)), "utf-8")
    with replaced(review) as path:  # with the mark by which spreadsheets know UTF-8
        columns = ["image", "text", "page", "read", "confidence", "source"]
        lines[columns].to_csv(path, index=False, encoding="utf-8-sig")
    with (parts / HANDED_OUT).open("a", encoding="utf-8") as file:
        file.writelines(f"{place}\n" for place in lines["place"])
    return len(lines)


def save_pictures(images: str, lines: pd.DataFrame, folder: Path, recognizer: Recognizer) -> dict[str, tuple[int, int]]:
    """Save the picture of each line under its `name`, and that of its page beside its first line, as JPEG.

    Returns the width and height of each page, px of its file. The lines of a page are cut out as they were read.
    """
    wanted = dict(tuple(lines.groupby("source")))
    sizes: dict[str, tuple[int, int]] = {}
    for row in tqdm(transcription.stream_pictures(images), desc="finding pictures", leave=False, mininterval=1):
        own = wanted.pop(row.source, None)
        if own is None or row.image is None:
            continue
        is_page = own["line"].notna().all()
        with suppress(InputError):
            pixels, size = decode_picture(row.image, "page" if is_page else "line")
            pictures = find_lines(pixels, recognizer).pictures if is_page else [pixels]
            for number, name in zip(own["line"].fillna(1).astype(int), own["name"], strict=True):
                if number <= len(pictures):
                    Image.fromarray(pictures[number - 1]).save(folder / name)
            if size:
                shown = Image.fromarray(pixels)
                shown.thumbnail((MAX_SIDE, MAX_SIDE))
                shown.save((folder / own["name"].iloc[0]).with_suffix(".jpg"), quality=80)
                sizes[row.source] = size
        if not wanted:
            break
    return sizes


def groups_of(lines: pd.DataFrame, sizes: dict[str, tuple[int, int]]) -> str:
    """Return the lines as HTML: those of a page beside its picture, others by themselves."""
    cells = lines.assign(address=lines["image"].map(quote), outline=lines["outline"].fillna(""))
    cells = cells[["address", "read", "image", "page", "outline"]].map(html.escape)
    groups = []
    for source, own in cells.groupby(lines["page"], sort=False):
        items = "\n".join(LINE.format(**line) for line in own.to_dict("records"))
        if not source:
            groups.append(f"<ol>\n{items}\n</ol>")
            continue
        width, height = sizes[source]
        outlines = "".join(OUTLINE.format(**line) for line in own.to_dict("records"))
        first = own.iloc[0]
        address = first["address"].removesuffix("png") + "jpg"
        groups.append(
            PAGE.format(address=address, page=first["page"], width=width, height=height, outlines=outlines, items=items)
        )
    return "\n".join(groups)
