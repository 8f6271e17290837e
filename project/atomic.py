"""Files and folders that are there whole or not at all: how they are replaced, locked and kept in a cache."""

import json
import logging
import os
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import platformdirs
from filelock import FileLock, Timeout

from project.errors import InputError

UNUSED = 30 * 24 * 3600  # seconds in which nobody asked
LOCK_TIMEOUT = 3600  # seconds; the largest data set takes less to be decoded
LOCK_NOTICE = 10  # seconds after which somebody who waits is told
CONTENTS = ".contents.json"  # in a cached folder: the size of each of its files

log = logging.getLogger(__name__)


class NoLockError(InputError):
    """Say that a file system has no locks."""


def check_outside(folder: str | Path, parameter: str, path: str | Path) -> None:
    """Raise InputError if the path that a parameter names is in a folder that is read.

    What is written there would be taken for more of the folder.
    """
    if Path(path).expanduser().resolve().is_relative_to(Path(folder).expanduser().resolve()):
        raise InputError(f"{parameter}: {path} is in the folder {folder}; choose a place outside of it")


@contextmanager
def replaced(path: Path) -> Iterator[Path]:
    """Yield a path to write to; on leaving, what was written takes the place of `path` in one step.

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


@contextmanager
def locked(path: Path, timeout: float = LOCK_TIMEOUT) -> Iterator[None]:
    """Hold the lock on a file; others wait.

    Raise InputError if another process holds it for `timeout` seconds, and NoLockError if its file system has no locks.
    """
    lock = FileLock(path)
    try:
        try:
            lock.acquire(timeout=min(timeout, LOCK_NOTICE))
        except Timeout:
            if timeout <= LOCK_NOTICE:
                raise
            log.warning("waiting for another process that holds the lock %s", path)
            lock.acquire(timeout=timeout - LOCK_NOTICE)
    except Timeout:
        raise InputError(
            f"{path}: another process has held this lock for {timeout:g} s; if there is none, delete the file"
        ) from None
    except (OSError, NotImplementedError) as error:
        raise NoLockError(f"{path}: cannot be locked, its file system may have no locks: {error}") from error
    try:
        yield
    finally:
        lock.release()


def cache_home() -> Path:
    """Return the folder of what can be made anew: in the user's cache, or where that cannot be written to, in the
    temporary folder.
    """
    home = Path(platformdirs.user_cache_dir("handwriting-classifier"))
    try:
        home.mkdir(parents=True, exist_ok=True)
        tempfile.TemporaryFile(dir=home).close()
    except OSError:
        home = Path(tempfile.gettempdir(), f"handwriting-classifier-{os.getuid()}")
        home.mkdir(mode=0o700, exist_ok=True)
    return home


def cached_folder(folder: Path, make: Callable[[Path], None]) -> Path:
    """Return `folder`, building it atomically with `make` if it is not there, or no longer whole.

    Of several processes that ask for it the first makes it, and the others wait; on a file system without locks each
    makes its own. A new one takes the place of those of its kind, by the name up to its first "-", that nobody has
    asked for in `UNUSED` seconds.
    """
    folder.parent.mkdir(parents=True, exist_ok=True)
    try:
        with locked(Path(f"{folder}.lock")):
            for killed in folder.parent.glob(f".{folder.stem}-*"):
                shutil.rmtree(killed)  # while it was made
            _make_if_missing(folder, make)
    except NoLockError as error:
        log.warning("%s", error)
        _make_if_missing(folder, make)
    return folder


def _make_if_missing(folder: Path, make: Callable[[Path], None]) -> None:
    if not is_whole(folder):
        if folder.exists():
            log.warning("%s: files are missing or cut short; it is made anew", folder)
            shutil.rmtree(folder)
        with replaced(folder) as beside:
            beside.mkdir()
            make(beside)
            (beside / CONTENTS).write_text(json.dumps(_sizes(beside)), "utf-8")
        for other in folder.parent.glob(f"{folder.name.partition('-')[0]}-*/"):
            if other != folder:
                evict(other)
    os.utime(folder)  # it was asked for


def is_whole(folder: Path) -> bool:
    """Return whether a cached folder has all of its files, each of its size: cleaners delete files by their age."""
    try:
        return json.loads((folder / CONTENTS).read_text("utf-8")) == _sizes(folder)
    except (OSError, ValueError):
        return False


def _sizes(folder: Path) -> dict[str, int]:
    """Return the size of each file in a folder and below, in bytes, by its relative path."""
    files = sorted(path for path in folder.rglob("*") if path.is_file() and path.name != CONTENTS)
    return {path.relative_to(folder).as_posix(): path.stat().st_size for path in files}


def evict(folder: Path) -> None:
    """Delete a cached folder, if nobody has asked for it in `UNUSED` seconds, or asks for it just now."""
    with suppress(OSError, InputError), locked(Path(f"{folder}.lock"), timeout=0):
        if folder.stat().st_mtime < time.time() - UNUSED:
            shutil.rmtree(folder.rename(folder.with_name(f".{folder.stem}-unused")))  # half of it is never found
