"""..."""

from pathlib import Path

from project.atomic import replaced
from project.data.folders import read_transcription

FOLDER = Path(__file__).parent
TEXT_IMAGE = FOLDER / "text_image.json"  # {"inputs": (N, 1, H, W)}: sampler -> poster
PREDICTION = FOLDER / "prediction.json"  # {"predictions": (N, T, C)}: poster -> inferrer


def transcription_of(path: Path) -> str:
    """What is written in a picture: the content of `name.gt.txt` beside `name.png`, "" where there is none."""
    known = path.with_suffix(".gt.txt")
    return read_transcription(known) if known.exists() else ""


def kept_transcription(path: Path) -> str:
    """What is written in the picture that `path` was made from; "" where it is not known, or `path` is newer."""
    known = path.with_suffix(".gt.txt")
    return transcription_of(path) if known.exists() and known.stat().st_mtime_ns >= path.stat().st_mtime_ns else ""


def keep_transcription(path: Path, text: str) -> None:
    """Say what is written in the picture that `path` was made from; after `path` itself was written."""
    with replaced(path.with_suffix(".gt.txt")) as beside:
        beside.write_text(text, "utf-8")
