"""The files that entry points hand to each other, where one may stand, and how it is replaced whole or not at all."""

import os
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from filelock import FileLock

from project.charset import normalize
from project.images import told

FOLDER = Path(__file__).parent
BASE = FOLDER / "base"  # the base model that comes with the project: see its README.md
TEST_INPUTS = FOLDER / "test_inputs"  # pictures `name.png`, each with its transcription `name.gt.txt`
TEXT_IMAGE = FOLDER / "text_image.json"  # {"inputs": (N, 1, H, W)}: sampler -> poster
PREDICTION = FOLDER / "prediction.json"  # {"predictions": (N, T, C)}: poster -> inferrer
UNUSED = 30 * 24 * 3600  # seconds in which nobody asked


def check_outside(folder: str | Path, parameter: str, path: str | Path) -> None:
    """ValueError if the path that a parameter names is in a folder that is read, where what is written would be taken
    for more of it.
    """
    if Path(path).expanduser().resolve().is_relative_to(Path(folder).expanduser().resolve()):
        raise ValueError(f"{parameter}: {path} is in the folder {folder}; choose a place outside of it")


@contextmanager
def replaced(path: Path) -> Iterator[Path]:
    """A path to write to; on leaving, what was written takes the place of `path` in one step.

    If the body raises, or the disk is full, `path` stays as it was and nothing is left beside it; if the power fails,
    it is the old or the new, whole.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=path.parent, prefix=f".{path.stem}-") as folder:
        beside = Path(folder, path.name)
        yield beside
        for written in (*beside.rglob("*"), beside):
            reach_disk(written)
        beside.replace(path)
        reach_disk(path.parent)


def reach_disk(path: Path) -> None:
    """Return when a file, or the list of files in a folder, is on the disk, and not only on its way there."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def made_once(folder: Path, make: Callable[[Path], None]) -> Path:
    """`folder`, which `make` fills, whole or not at all, if it is not there yet. Of several processes that ask for it
    the first makes it, and the others wait. A new one takes the place of those of its kind, by the name up to its
    first "-", that nobody has asked for in `UNUSED` seconds.
    """
    folder.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(f"{folder}.lock"):
        for killed in folder.parent.glob(f".{folder.stem}-*"):
            shutil.rmtree(killed)  # while it was made
        if not folder.exists():
            with replaced(folder) as beside:
                beside.mkdir()
                make(beside)
            for other in folder.parent.glob(f"{folder.name.partition('-')[0]}-*/"):
                if other != folder:
                    make_room(other)
        os.utime(folder)  # it was asked for
    return folder


def make_room(folder: Path) -> None:
    """Delete what `made_once` made, if nobody has asked for it in `UNUSED` seconds, or asks for it just now."""
    with suppress(OSError), FileLock(f"{folder}.lock", timeout=0):
        if folder.stat().st_mtime < time.time() - UNUSED:
            shutil.rmtree(folder.rename(folder.with_name(f".{folder.stem}-unused")))  # half of it is never found


def read_transcription(path: Path) -> str:
    """The content of a `.gt.txt` file, as `normalize` gives it. ValueError if it is not UTF-8."""
    return normalize(read_text(path))


def read_text(path: Path) -> str:
    """The content of a text file. ValueError if it is not UTF-8."""
    try:
        return path.read_text("utf-8-sig")
    except UnicodeDecodeError as error:
        raise ValueError(f"{told(path)}: not UTF-8: {error}") from None


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
