"""Entry point `sampler`: a picture of a line -> `project/text_image.json`, the 4-D list that the model takes."""

import json
import random
from pathlib import Path

import click
import mlflow
import numpy as np
from PIL import Image

from project import cli
from project.atomic import replaced
from project.errors import InputError
from project.handover import TEXT_IMAGE, check_kept, keep_transcription, transcription_of
from project.pages.line_or_page import decode_picture
from project.pages.reading import find_lines
from project.recognition.image import read_image
from project.recognition.recognizer import Recognizer
from project.tracking.registry import BASE, TEST_INPUTS

MAX_SENT = 1_000_000  # pixels: about 4 MB of JSON; a photo that has more is shrunk, for lines are read 36 px high


def shrink(pixels: np.ndarray) -> np.ndarray:
    """Return uint8 (H, W) with at most `MAX_SENT` pixels, by averaging squares of whole pixels."""
    factor = int(np.ceil(np.sqrt(pixels.size / MAX_SENT)))
    return np.asarray(Image.fromarray(pixels).reduce(factor)) if factor > 1 else pixels


def lines_of(path: Path) -> list[np.ndarray]:
    """Return the pictures, uint8 (H, W) each, of the lines of a page in reading order; of a line's picture, itself.

    Raise InputError if the page has none.
    """
    pixels, size = decode_picture(path, "auto")
    lines = find_lines(pixels, Recognizer.load(BASE)).pictures if size else [pixels]
    if not lines:
        raise InputError("image: no writing was found on this page")
    return lines


@click.command()
@click.option("--image", required=True, help="A picture file, of a line or a page; empty for one of test_inputs.")
@click.option("--line", required=True, help="Of a page, which line, from 1; empty for the first.")
@click.option("--seed", required=True, help="Always the same of them for the same seed; empty for chance.")
def main(image: str, line: str, seed: str) -> None:
    check_kept()
    if line and not (line.isdecimal() and int(line)):
        raise InputError(f"line: {line!r} is not a number from 1")
    inputs = sorted(TEST_INPUTS.glob("*.png"))
    path = Path(cli.full_path(image)) if image else random.Random(seed or None).choice(inputs)
    lines = lines_of(path) if image else [read_image(path)]
    number = int(line or 1)
    if number > len(lines):
        raise InputError(f"line: {number} is not on this page; it has {len(lines)} lines")
    text, place = transcription_of(path), str(path)
    if len(lines) > 1:
        text, place = "", f"{path}, line {number} of {len(lines)}"
        print(f"{path} is a page with {len(lines)} lines; -P line=1 to {len(lines)} takes one")
    pixels = shrink(lines[number - 1])  # uint8 (H, W)
    with replaced(TEXT_IMAGE) as beside:
        beside.write_text(json.dumps({"inputs": pixels[None, None].tolist()}, separators=(",", ":")))  # (1, 1, H, W)
    keep_transcription(TEXT_IMAGE, text)

    mlflow.log_image(pixels, "text_image.png")
    mlflow.set_tags({"picture": place, "transcription": text})
    print(f"{place} ({pixels.shape[1]} x {pixels.shape[0]} px) -> {TEXT_IMAGE}")
    print(f"transcription: {text}" if text else "its transcription is not known")


if __name__ == "__main__":
    cli.run("sampler", main)
