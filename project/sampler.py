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
from project.recognition.image import read_image
from project.recognition.recognizer import Recognizer
from project.tracking.registry import BASE, TEST_INPUTS

MAX_SENT = 1_000_000  # pixels: about 4 MB of JSON; a photo that has more is shrunk, for lines are read 36 px high


def shrink(pixels: np.ndarray) -> np.ndarray:
    """Return uint8 (H, W) with at most `MAX_SENT` pixels, by averaging squares of whole pixels."""
    factor = int(np.ceil(np.sqrt(pixels.size / MAX_SENT)))
    return np.asarray(Image.fromarray(pixels).reduce(factor)) if factor > 1 else pixels


def line_of_page(pixels: np.ndarray, line: int | None) -> tuple[np.ndarray, int, int]:
    """Return the picture of a line of a page, uint8 (H, W), its number, and how many lines the page has.

    line: which, from 1 in reading order; None takes the first. A picture of one line comes back as it is.
    InputError if the page has no such line, or none.
    """
    from project.pages.reading import find_lines, is_page  # here, for it imports OpenCV

    if not is_page(pixels):
        lines = [pixels]
    elif not (lines := find_lines(pixels, Recognizer.load(BASE)).pictures):
        raise InputError("image: no writing was found on this page")
    number = line or 1
    if number > len(lines):
        raise InputError(f"line: {number} is not on this page; it has {len(lines)} lines")
    return lines[number - 1], number, len(lines)


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
    pixels, text, place = read_image(path), transcription_of(path), str(path)
    if image:
        pixels, number, count = line_of_page(pixels, int(line) if line else None)
        if count > 1:
            text, place = "", f"{path}, line {number} of {count}"
            print(f"{path} is a page with {count} lines; -P line=1 to {count} takes one")
    pixels = shrink(pixels)  # uint8 (H, W)
    with replaced(TEXT_IMAGE) as beside:
        beside.write_text(json.dumps({"inputs": pixels[None, None].tolist()}, separators=(",", ":")))  # (1, 1, H, W)
    keep_transcription(TEXT_IMAGE, text)

    mlflow.log_image(pixels, "text_image.png")
    mlflow.set_tags({"picture": place, "transcription": text})
    print(f"{place} ({pixels.shape[1]} x {pixels.shape[0]} px) -> {TEXT_IMAGE}")
    print(f"transcription: {text}" if text else "its transcription is not known")


if __name__ == "__main__":
    cli.run("sampler", main)
