"""Folders of line pictures with a `.gt.txt` file beside each: what kraken, Tesseract and OCR-D train on."""

import logging
import os
import re
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

from project.data.rows import SPLIT_NAMES, Row
from project.errors import InputError
from project.recognition.charset import normalize
from project.recognition.picture_file import PageOf, is_picture, pages_of, printable_path, suffixes

TEXT = ".gt.txt"
PICTURES = suffixes()
FILES = PICTURES | {".pdf"}  # that are read as pictures, a PDF page by page
MULTI_PAGE = {".pdf", ".tif", ".tiff", ".gif", ".webp", ".avif"}  # of files that may have several pages
VARIANTS = (".bin", ".nrm", ".raw")  # of one picture, in OCRopus's names: line.nrm.png belongs to line.gt.txt
FORMAT_FOLDERS = {"page", "alto", "xml", "images", "image", "img", "data", "pages", "lines"}  # folders of no hand
NAMED = 5  # files that a warning names

log = logging.getLogger(__name__)


def files_in(folder: Path, hidden: str = ".") -> Iterator[Path]:
    """Yield the files in a folder and below, in the order of their names, through links too.

    Names that begin with one of the `hidden` characters are left out. A folder that may not be read is passed over, and
    the log says so. Of the files only the names in one folder are in memory.
    """
    entered = set()
    for parent, folders, names in os.walk(folder, onerror=_log_unreadable, followlinks=True):
        place = os.path.realpath(parent)
        if place in entered:  # by a link to where we have been
            folders.clear()
            continue
        entered.add(place)
        folders[:] = sorted(name for name in folders if name[0] not in hidden)
        yield from (Path(parent, name) for name in sorted(names) if name[0] not in hidden)


def _log_unreadable(error: OSError) -> None:
    log.warning("%s: passed over: %s", printable_path(Path(error.filename)), error.strerror)


def log_passed_over(paths: list[Path], why: str) -> None:
    """Log how many files are not read, with the first names; nothing if there are none."""
    if paths:
        names = ", ".join(printable_path(path) for path in paths[:NAMED])
        log.warning("%d files %s and are passed over: %s%s", len(paths), why, names, ", ..." * (len(paths) > NAMED))


def with_suffix(folder: Path, suffix: str) -> Iterator[Path]:
    """Yield the files in a folder and below whose names end so, in capitals or not, without what is hidden."""
    return (path for path in files_in(folder) if path.name.lower().endswith(suffix))


def split_and_page(path: Path, folder: Path) -> tuple[str, str]:
    """Return the split and the page of a file by its folders in `folder`.

    One named `train`, `validation` or `test` is a split; folders in it, or other ones, are a page.
    """
    parts = path.relative_to(folder).parent.parts
    split = SPLIT_NAMES.get(parts[0].lower(), "") if parts else ""
    return split, printable_path("/".join(parts[1:] if split else parts))


def name_hands(paths: Iterable[Path], folder: Path, rule: str, page: Callable[[Path], object]) -> dict[Path, str]:
    """Return whose hand each file is, "" where nobody knows.

    rule: "folder" takes the first folder in `folder`, or in that of a split, for a hand; "auto" does so where several
    such folders have several pages each; "none" names nobody; anything else is a regular expression, and what it finds
    in the path below `folder`, or its first group, is the hand. page: returns what tells the pages of files apart.
    Raise InputError if `rule` is no regular expression.
    """
    paths = list(paths)
    if rule not in ("auto", "folder", "none"):
        return _hands_by_pattern(paths, folder, rule)
    hands = {path: _first_folder(path, folder) if rule != "none" else "" for path in paths}
    names = set(hands.values())
    if rule == "auto" and ("" in names or len(names) < 2 or len(set(map(page, paths))) < 2 * len(names)):
        return dict.fromkeys(paths, "")
    return hands


def _hands_by_pattern(paths: list[Path], folder: Path, pattern: str) -> dict[Path, str]:
    try:
        compiled = re.compile(pattern)
    except re.error as error:
        raise InputError(f"writer: {pattern!r} is not auto, folder, none or a regular expression: {error}") from None
    hands = {}
    for path in paths:
        match = compiled.search(printable_path(path.relative_to(folder).as_posix()))
        hands[path] = (match[1] if compiled.groups else match[0]) or "" if match else ""
    return hands


def _first_folder(path: Path, folder: Path) -> str:
    parts = split_and_page(path, folder)[1].split("/")
    return next((part for part in parts if part.lower() not in FORMAT_FOLDERS), "")


def has_pairs(folder: Path) -> bool:
    """Return whether there is a transcription in it."""
    return next(with_suffix(folder, TEXT), None) is not None


def read_pairs(folder: Path, writer: str = "auto") -> Iterator[Row]:
    """Yield a row for each picture and each transcription; where one of them is missing, the row has an error.

    writer: see `name_hands`.
    """
    pictures: dict[Path, Path] = {}
    texts: dict[Path, Path] = {}
    for path in sorted(files_in(folder)):
        if path.name.endswith(TEXT):
            texts[path.parent / path.name.removesuffix(TEXT)] = path
        elif path.suffix.lower() in PICTURES:
            pictures.setdefault(path.with_suffix(""), path)
        elif not path.suffix:
            pictures.setdefault(path, path)
    for stem in [stem for stem in pictures if stem.suffix in VARIANTS and stem not in texts]:
        pictures.setdefault(stem.with_suffix(""), pictures.pop(stem))
    for stem in [stem for stem, path in pictures.items() if not path.suffix and stem not in texts]:
        del pictures[stem]  # a file without a suffix or a text is no picture of ours
    hands = name_hands(pictures | texts, folder, writer, page=lambda stem: stem.parent)
    for stem in sorted(pictures | texts):
        split, page = split_and_page(stem, folder)
        yield _pair(pictures.get(stem), texts.get(stem))._replace(page=page, split=split, writer=hands[stem])


def read_pictures(folder: Path, exclude: Iterable[Path] = ()) -> Iterator[Row]:
    """Yield a row without a text for each picture, and for each page of a file that has several, folder by folder.

    Names with "." or "_" in front are left out, which Apache Spark does not see either, and the resolved paths
    `exclude`. A file without the suffix of a picture may be one by its content; the others are counted in the log.
    """
    exclude, no_pictures = set(exclude), list[Path]()
    for path in files_in(folder, hidden="._"):
        if exclude and path.resolve() in exclude:
            continue
        if path.suffix.lower() in FILES or is_picture(path):
            yield from rows_of_file(path)
        else:
            no_pictures.append(path)
    log_passed_over(no_pictures, "are no pictures that can be read")


def rows_of_file(path: Path) -> Iterator[Row]:
    """Yield a row without a text for a picture, or for each page of a file that has several."""
    may_have_pages = path.suffix.lower() in MULTI_PAGE or path.suffix.lower() not in FILES
    for page in pages_of(path) if may_have_pages else [str(path)]:
        if isinstance(page, PageOf):
            yield Row(page, "", page=str(page.number), source=f"{printable_path(path)}:{page.number}")
        else:
            yield Row(str(path), "", source=printable_path(path))


def count_pictures(folder: Path) -> int:
    """Return how many files have the suffix of a picture: about as many as `read_pictures` yields."""
    return sum(path.suffix.lower() in FILES for path in files_in(folder, hidden="._"))


def _pair(picture: Path | None, text: Path | None) -> Row:
    source = printable_path(picture or text or "")
    row = Row(str(picture) if picture else None, "", source=source)
    if text is None:
        return row._replace(image=None, error=f"{source}: it has no {TEXT} beside it")
    try:
        written = read_text(text)
    except InputError as error:
        return row._replace(image=None, error=str(error))
    except OSError as error:
        return row._replace(image=None, error=f"{printable_path(text)}: {error.strerror}")
    return row._replace(text=written, error="" if picture else f"{source}: it has no picture beside it")


def read_transcription(path: Path) -> str:
    """Return the content of a `.gt.txt` file, as `normalize` gives it. Raise InputError if it is not UTF-8."""
    return normalize(read_text(path))


def read_text(path: Path) -> str:
    """Return the content of a text file. Raise InputError if it is not UTF-8."""
    try:
        return path.read_text("utf-8-sig")
    except UnicodeDecodeError as error:
        raise InputError(f"{printable_path(path)}: not UTF-8: {error}") from None
