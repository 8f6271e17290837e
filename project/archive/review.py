"""The least certain lines, handed to a person for correction; what comes back is a data set to train on.

`lines.csv` has the columns `image`, `text`, still empty, and `read`, `confidence` and `source`, which training passes
over; its pictures are in the folder `lines`. `lines.html` shows the same lines in a browser, and saves those that a
person has confirmed as a `lines.csv` to take its place.
"""

import html
from contextlib import suppress
from pathlib import Path
from urllib.parse import quote

import pandas as pd
from PIL import Image
from tqdm import tqdm

from project.archive import transcription
from project.atomic import check_outside, replaced
from project.errors import InputError
from project.recognition.image import read_image

PAGE = Path(__file__).with_name("review.html")
HANDED_OUT = "_handed_out.txt"  # beside the parts of an archive: a source a line
LINE = '<li><img src="{address}" alt=""><input value="{read}" data-image="{image}"></li>'


def check_place(review: Path, images: str, parts: Path, output: Path) -> None:
    """ValueError if `review` is no CSV table, is there already (it may hold somebody's corrections), stands among the
    pictures or the parts, where it would be taken for one of them, or would take the place of `output`.
    """
    if review.suffix != ".csv":
        raise InputError(f"review: {review} is not a .csv table")
    for folder in (images, parts):
        check_outside(folder, "review", review)
    if {review.resolve(), review.with_suffix("").resolve()} & {parts.resolve(), output.resolve()}:
        raise InputError(f"review: {review} and its folder would stand where the output stands; choose another name")
    if there := [path for path in (review, review.with_suffix(""), review.with_suffix(".html")) if path.exists()]:
        raise InputError(f"review: {there[0]} is there already; it is never overwritten")


def reviewed_sources(parts: Path) -> set[str]:
    """The sources of the lines that earlier reviews of an archive had."""
    path = parts / HANDED_OUT
    return set(path.read_text("utf-8").split("\n")) if path.exists() else set()


def write_review(images: str, lines: pd.DataFrame, review: Path, parts: Path) -> int:
    """Write the table, its pictures and its page, and remember what was handed out; returns how many lines that were.

    lines: `source`, `text` and `confidence`, the least certain first. A picture that is gone by now is left out.
    """
    folder = review.with_suffix("")
    names = {source: f"{number:04}.png" for number, source in enumerate(lines["source"], start=1)}
    found = set()
    with replaced(folder) as beside:
        beside.mkdir()
        for row in tqdm(transcription.pictures_of(images), desc="finding pictures", leave=False, mininterval=1):
            if row.source in names:
                with suppress(ValueError):
                    Image.fromarray(read_image(row.image)).save(beside / names[row.source])
                    found.add(row.source)
            if len(found) == len(names):
                break
    lines = lines[lines["source"].isin(found)]
    lines = lines.assign(image=f"{folder.name}/" + lines["source"].map(names), read=lines["text"], text="")
    table = lines[["image", "text", "read", "confidence", "source"]]
    cells = table.assign(address=table["image"].map(quote))[["address", "read", "image"]].map(html.escape)
    items = "\n".join(LINE.format(**line) for line in cells.to_dict("records"))
    page = PAGE.read_text("utf-8").replace("{table}", html.escape(review.name)).replace("{lines}", items)
    with replaced(review.with_suffix(".html")) as path:
        path.write_text(page, "utf-8")
    with replaced(review) as path:  # with the mark by which spreadsheets know UTF-8
        table.to_csv(path, index=False, encoding="utf-8-sig")
    with (parts / HANDED_OUT).open("a", encoding="utf-8") as file:
        file.writelines(f"{source}\n" for source in lines["source"])
    return len(lines)
