"""Folders of line pictures with a `.gt.txt` file beside each: what kraken, Tesseract and OCR-D train on."""

import logging
import os
from collections.abc import Iterator
from fnmatch import fnmatchcase
from pathlib import Path

from project.data.rows import SPLIT_NAMES, Row
from project.errors import InputError
from project.recognition.charset import normalize
from project.recognition.picture_file import PageOf, pages_of, printable_path, suffixes

TEXT = ".gt.txt"
PICTURES = suffixes()
MULTI_PAGE = {".pdf", ".tif", ".tiff"}  # files whose pages are pictures; an animation is no document
VARIANTS = (".bin", ".nrm", ".raw")  # of one picture, in OCRopus's names: line.nrm.png belongs to line.gt.txt

log = logging.getLogger(__name__)


def files_in(folder: Path, hidden: str = ".") -> Iterator[Path]:
    """The files in a folder and below, in the order of their names, through links too; but for names that begin with
    one of the `hidden` characters. A folder that may not be read is passed over, and the log says so.

    Of the files only the names in one folder are in memory.
    """
    entered = set()
    for parent, folders, names in os.walk(folder, onerror=_tell_unreadable, followlinks=True):
        place = os.path.realpath(parent)
        if place in entered:  # by a link to where we have been
            folders.clear()
            continue
        entered.add(place)
        folders[:] = sorted(name for name in folders if name[0] not in hidden)
        yield from (Path(parent, name) for name in sorted(names) if name[0] not in hidden)


def _tell_unreadable(error: OSError) -> None:
    log.warning("%s: passed over: %s", printable_path(Path(error.filename)), error.strerror)


def visible(folder: Path, pattern: str) -> Iterator[Path]:
    """The files in a folder and below whose names are like the pattern, without what is hidden."""
    return (path for path in files_in(folder) if fnmatchcase(path.name, pattern))


def split_and_page(path: Path, folder: Path) -> tuple[str, str]:
    """A sub-folder `train`, `validation` or `test` of `folder` is a split; folders in it, or other ones, are a page."""
    parts = path.relative_to(folder).parent.parts
    split = SPLIT_NAMES.get(parts[0].lower(), "") if parts else ""
    return split, printable_path("/".join(parts[1:] if split else parts))


def has_pairs(folder: Path) -> bool:
    """Whether there is a transcription in it."""
    return next(visible(folder, f"*{TEXT}"), None) is not None


def read_pairs(folder: Path) -> Iterator[Row]:
    """A row for each picture and each transcription; where one of them is missing, the row says so."""
    pictures: dict[Path, Path] = {}
    texts: dict[Path, Path] = {}
    for path in sorted(visible(folder, "*.*")):
        if path.name.endswith(TEXT):
            texts[path.parent / path.name.removesuffix(TEXT)] = path
        elif path.suffix.lower() in PICTURES:
            pictures.setdefault(path.with_suffix(""), path)
    for stem in [stem for stem in pictures if stem.suffix in VARIANTS and stem not in texts]:
        pictures.setdefault(stem.with_suffix(""), pictures.pop(stem))
    for stem in sorted(pictures | texts):
        split, page = split_and_page(stem, folder)
        yield _pair(pictures.get(stem), texts.get(stem))._replace(page=page, split=split)


def read_pictures(folder: Path) -> Iterator[Row]:
    """Yield a row without a text for each picture, and for each page of a PDF or TIFF, folder by folder.

    Names with "." or "_" in front are left out, which Apache Spark does not see either.
    """
    for path in files_in(folder, hidden="._"):
        if path.suffix.lower() in PICTURES | {".pdf"}:
            yield from rows_of_file(path)


def rows_of_file(path: Path) -> Iterator[Row]:
    """Yield a row without a text for a picture, or for each page of a file that has several."""
    pages = pages_of(path) if path.suffix.lower() in MULTI_PAGE else [str(path)]
    for page in pages:
        if isinstance(page, PageOf):
            yield Row(page, "", page=str(page.number), source=f"{printable_path(path)}:{page.number}")
        else:
            yield Row(str(path), "", source=printable_path(path))


def _pair(picture: Path | None, text: Path | None) -> Row:
    source = printable_path(picture or text)
    if text is None:
        return Row(ValueError(f"{source}: it has no {TEXT} beside it"), "", source=source)
    try:
        written = read_transcription(text)
    except ValueError as error:
        return Row(error, "", source=source)
    except OSError as error:
        return Row(ValueError(f"{printable_path(text)}: {error.strerror}"), "", source=source)
    image = str(picture) if picture else ValueError(f"{source}: it has no picture beside it")
    return Row(image, written, source=source)


def read_transcription(path: Path) -> str:
    """The content of a `.gt.txt` file, as `normalize` gives it. ValueError if it is not UTF-8."""
    return normalize(read_text(path))


def read_text(path: Path) -> str:
    """The content of a text file. ValueError if it is not UTF-8."""
    try:
        return path.read_text("utf-8-sig")
    except UnicodeDecodeError as error:
        raise InputError(f"{printable_path(path)}: not UTF-8: {error}") from None
