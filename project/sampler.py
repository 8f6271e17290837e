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
from project.handover import TEXT_IMAGE, keep_transcription, transcription_of
from project.recognition.image import read_image
from project.tracking.registry import TEST_INPUTS

MAX_SENT = 1_000_000  # pixels: about 4 MB of JSON; a photo that has more is shrunk, for lines are read 36 px high


def shrink(pixels: np.ndarray) -> np.ndarray:
    """uint8 (H, W) with at most `MAX_SENT` pixels, by averaging squares of whole pixels."""
    factor = int(np.ceil(np.sqrt(pixels.size / MAX_SENT)))
    return np.asarray(Image.fromarray(pixels).reduce(factor)) if factor > 1 else pixels


@click.command()
@click.option("--image", required=True, help="A picture file; empty for one of project/test_inputs.")
@click.option("--seed", required=True, help="Always the same of them for the same seed; empty for chance.")
def main(image: str, seed: str) -> None:
    inputs = sorted(TEST_INPUTS.glob("*.png"))
    path = Path(image).expanduser() if image else random.Random(seed or None).choice(inputs)
    pixels = shrink(read_image(path))  # uint8 (H, W)
    text = transcription_of(path)
    with replaced(TEXT_IMAGE) as beside:
        beside.write_text(json.dumps({"inputs": pixels[None, None].tolist()}, separators=(",", ":")))  # (1, 1, H, W)
    keep_transcription(TEXT_IMAGE, text)

    mlflow.log_image(pixels, "text_image.png")
    mlflow.set_tags({"picture": str(path), "transcription": text})
    print(f"{path} ({pixels.shape[1]} x {pixels.shape[0]} px) -> {TEXT_IMAGE}")
    print(f"transcription: {text}" if text else "its transcription is not known")


if __name__ == "__main__":
    cli.run("sampler", main)
