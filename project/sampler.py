"""Entry point `sampler`: a picture of a line -> `project/text_image.json`, the 4-D list that the model takes."""

import argparse
import json
import random
from pathlib import Path

import mlflow

from project.entry_point import entry_point
from project.files import replaced
from project.images import read_picture

FOLDER = Path(__file__).parent
TEST_INPUTS = FOLDER / "test_inputs"
TEXT_IMAGE = FOLDER / "text_image.json"


def transcription_of(path: Path) -> Path:
    """Where the transcription that belongs to a file is, if it is known: `name.png` -> `name.gt.txt`."""
    return path.with_suffix(".gt.txt")


def sample(seed: str) -> Path:
    """A picture of `test_inputs`, by chance, or always the same one for the same seed."""
    if seed and not seed.lstrip("-").isdigit():
        raise ValueError(f"seed: {seed!r} is not a whole number")
    return random.Random(int(seed) if seed else None).choice(sorted(TEST_INPUTS.glob("*.png")))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--image", required=True, help="a picture file; empty for one of test_inputs")
    parser.add_argument("--seed", required=True, help="a whole number; empty for chance")
    arguments = parser.parse_args()

    path = Path(arguments.image) if arguments.image else sample(arguments.seed)
    pixels = read_picture(path)  # uint8 (H, W)
    known = transcription_of(path)
    text = known.read_text("utf-8").strip() if known.exists() else ""
    with replaced(TEXT_IMAGE) as beside:
        beside.write_text(json.dumps({"inputs": pixels[None, None].tolist()}))  # (1, 1, H, W)
    with replaced(transcription_of(TEXT_IMAGE)) as beside:
        beside.write_text(text, "utf-8")

    mlflow.log_image(pixels, "text_image.png")
    mlflow.set_tags({"picture": str(path), "transcription": text})
    print(f"{path} ({pixels.shape[1]} x {pixels.shape[0]} px) -> {TEXT_IMAGE}")
    print(f"transcription: {text}" if text else "its transcription is not known")


if __name__ == "__main__":
    entry_point("sampler", main)
