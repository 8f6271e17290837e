"""The files that `sampler`, `poster` and `inferrer` hand to each other, with the transcription of their picture."""

import re
import tempfile
from pathlib import Path

from project.atomic import replaced
from project.data.folders import read_transcription
from project.errors import InputError

FOLDER = Path(__file__).parent
TEXT_IMAGE = FOLDER / "text_image.json"  # {"inputs": (N, 1, H, W)}: sampler -> poster
PREDICTION = FOLDER / "prediction.json"  # {"predictions": (N, T, C)}: poster -> inferrer


def check_kept() -> None:
    """Raise InputError if this is the temporary checkout of a git URI, with which the files here will be lost."""
    root = FOLDER.parent
    if root.parent == Path(tempfile.gettempdir()) and re.fullmatch(r"tmp\w{8}", root.name) and (root / ".git").exists():
        raise InputError(
            f"{root} is a temporary checkout, and what this command writes there for the next one would be lost: "
            "clone the repository, and use `mlflow run .` in it"
        )


def transcription_of(path: Path) -> str:
    """Return the transcription of a picture: the content of `name.gt.txt` beside `name.png`, "" where there is none."""
    known = path.with_suffix(".gt.txt")
    return read_transcription(known) if known.exists() else ""


def kept_transcription(path: Path) -> str:
    """Return the transcription of the picture that `path` was made from; "" if it is not known, or `path` is newer."""
    known = path.with_suffix(".gt.txt")
    return transcription_of(path) if known.exists() and known.stat().st_mtime_ns >= path.stat().st_mtime_ns else ""


def keep_transcription(path: Path, text: str) -> None:
    """Keep the transcription of the picture that `path` was made from; call it after `path` itself was written."""
    with replaced(path.with_suffix(".gt.txt")) as beside:
        beside.write_text(text, "utf-8")
