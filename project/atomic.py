"""The files that entry points hand to each other, where one may stand, and how it is replaced whole or not at all."""

import os
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from filelock import FileLock

from project.errors import InputError

UNUSED = 30 * 24 * 3600  # seconds in which nobody asked


def check_outside(folder: str | Path, parameter: str, path: str | Path) -> None:
    """ValueError if the path that a parameter names is in a folder that is read, where what is written would be taken
    for more of it.
    """
    if Path(path).expanduser().resolve().is_relative_to(Path(folder).expanduser().resolve()):
        raise InputError(f"{parameter}: {path} is in the folder {folder}; choose a place outside of it")


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
            fsync(written)
        beside.replace(path)
        fsync(path.parent)


def fsync(path: Path) -> None:
    """Return when a file, or the list of files in a folder, is on the disk, and not only on its way there."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def cached_folder(folder: Path, make: Callable[[Path], None]) -> Path:
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
                    evict(other)
        os.utime(folder)  # it was asked for
    return folder


def evict(folder: Path) -> None:
    """Delete what `cached_folder` made, if nobody has asked for it in `UNUSED` seconds, or asks for it just now."""
    with suppress(OSError), FileLock(f"{folder}.lock", timeout=0):
        if folder.stat().st_mtime < time.time() - UNUSED:
            shutil.rmtree(folder.rename(folder.with_name(f".{folder.stem}-unused")))  # half of it is never found
