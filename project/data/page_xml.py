"""Pages with their lines in PAGE XML or ALTO, as eScriptorium, Transkribus, kraken and OCR-D export them.

Formats: https://ocr-d.de/en/gt-guidelines/pagexml/pagecontent_xsd.html and https://www.loc.gov/standards/alto/
"""

import functools
import os
import re
from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path, PureWindowsPath
from typing import NamedTuple
from urllib.parse import unquote
from xml.etree import ElementTree
from xml.etree.ElementTree import Element

from project.data.folders import (
    FORMAT_FOLDERS,
    PICTURES,
    files_in,
    log_passed_over,
    name_hands,
    read_pictures,
    split_and_page,
    with_suffix,
)
from project.data.outlines import Points, outlines
from project.data.rows import Row
from project.errors import InputError
from project.recognition.image import Region
from project.recognition.picture_file import printable_path

PAGE, ALTO = "PcGts", "alto"  # the names of their roots
SIBLINGS = 100  # folders beside that of the XML in which its picture is looked for


class Line(NamedTuple):
    """A line of a page, as it is in the XML."""

    identity: str
    polygon: str
    baseline: str
    text: str
    line_type: str = ""


class Page(NamedTuple):
    """A page, as it is in the XML: the name of its picture, its width and height, its lines."""

    picture: str
    lines: list[Line]
    size: tuple[float, float] | None = None


def has_pages(folder: Path) -> bool:
    """Return whether there is such a file in it."""
    return any(_root(path) in (PAGE, ALTO) for path in with_suffix(folder, ".xml"))


def read_pages(folder: Path, labelled: bool = True, writer: str = "auto") -> Iterator[Row]:
    """Yield a row for each line; `image` is a region of the page's picture (see `find_picture`).

    Transkribus exports pages twice: where a picture is in several files, one with texts is read, and rather PAGE than
    ALTO. XML of other kinds (METS, metadata) is passed over; what cannot be read at all is a row with an error. Other
    pictures in the folder are rows too if lines need not be `labelled`, else the log counts them. writer: see
    `folders.name_hands`.
    """
    for cache in (_pictures, _folders):
        cache.cache_clear()  # the folder may have changed
    roots = {path: _root(path) for path in sorted(with_suffix(folder, ".xml"))}
    ordered = [path for kind in (PAGE, ALTO, "") for path, root in roots.items() if root == kind]
    hands = name_hands(ordered, folder, writer, page=lambda path: path)
    names = Counter(path.stem for path in ordered)
    bare: list[Path] = []  # lines without texts: a file of the same name may have them with
    pictures: set[Path] = set()
    for paths in (ordered, bare):
        for path in paths:
            try:
                root = ElementTree.parse(path).getroot()
                page = (_read_page if roots[path] == PAGE else _read_alto)(root)
            except (ElementTree.ParseError, OSError, ValueError) as error:
                name = printable_path(path)
                yield Row(None, "", source=name, error=f"{name}: cannot be read as XML: {error}")
                continue
            another = paths is ordered and names[path.stem] > 1
            if another and page.lines and not any(line.text.strip() for line in page.lines):
                bare.append(path)
                continue
            picture = find_picture(path, page.picture, folder)
            if picture in pictures and (page.picture or picture.is_file()):
                continue
            if page.lines:  # another file may have those of a page without
                pictures.add(picture)
            split, _ = split_and_page(path, folder)
            known = Row(None, "", hands[path], printable_path(os.path.relpath(picture, folder)), split)
            yield from _rows(page, picture, printable_path(path), known)
    if labelled:
        others = (path for path in files_in(folder) if path.suffix.lower() in PICTURES)
        log_passed_over([path for path in others if path.resolve() not in pictures], "have no PAGE or ALTO file")
    else:
        yield from read_pictures(folder, exclude=pictures | {path.resolve() for path in roots})


def _rows(page: Page, picture: Path, path: str, known: Row) -> Iterator[Row]:
    drawn = outlines([(_points(line.polygon), _points(line.baseline)) for line in page.lines], page.size)
    for number, (line, outline) in enumerate(zip(page.lines, drawn, strict=True), start=1):
        source = f"{path}:{line.identity or number}"
        row = known._replace(text=line.text, source=source, line_type=line.line_type)
        if len(outline.points) < 3:
            yield row._replace(error=f"{source}: its outline has not at least 3 points: {line.polygon!r}")
        else:
            yield row._replace(image=Region(str(picture), tuple(outline.points), page.size, outline.angle))


def _root(path: Path) -> str:
    """Return the name of the root of an XML file, without its namespace; "" if it has none that can be read."""
    try:
        with path.open("rb") as file:
            _, root = next(ElementTree.iterparse(file, events=["start"]))
    except (ElementTree.ParseError, OSError, ValueError, StopIteration):
        return ""
    return root.tag.rpartition("}")[2]


def _read_page(root: Element) -> Page:
    """Read a PAGE file."""
    page = root.find("{*}Page")
    if page is None:
        return Page("", [])
    lines = []
    for region, line in _lines_of_regions(page):
        lines.append(
            Line(
                line.get("id", ""),
                _page_points(line.find("{*}Coords")),
                _page_points(line.find("{*}Baseline")),
                _page_text(line) or " ".join(filter(None, map(_page_text, line.iterfind("{*}Word")))),
                _page_type(line) or _page_type(region),
            )
        )
    return Page(page.get("imageFilename", ""), lines, _size(page.get("imageWidth", ""), page.get("imageHeight", "")))


def _lines_of_regions(parent: Element) -> Iterator[tuple[Element, Element]]:
    """Yield each line in the order of the file, with the innermost element around it."""
    for child in parent:
        if child.tag.rpartition("}")[2] == "TextLine":
            yield parent, child
        else:
            yield from _lines_of_regions(child)


def _page_points(coords: Element | None) -> str:
    if coords is None:
        return ""
    # before 2013 each was an element
    return coords.get("points", "") or " ".join(f"{point.get('x')},{point.get('y')}" for point in coords)


def _page_text(element: Element) -> str:
    """Return the first reading of a line or a word."""
    readings = sorted(element.iterfind("{*}TextEquiv"), key=lambda reading: int(reading.get("index") or 0))
    texts = (reading.findtext(f"{{*}}{form}") for reading in readings for form in ("Unicode", "PlainText"))
    return next((text for text in texts if text and text.strip()), "")


def _page_type(element: Element) -> str:
    """Return the type of a line: of its `custom` attribute, and how it was produced ("printed", "typewritten")."""
    found = re.search(r"structure\s*\{[^}]*?type:\s*([^;}]+)", element.get("custom", ""))
    names = (found[1].strip() if found else "", element.get("production", ""), element.get("type", ""))
    return ",".join(dict.fromkeys(filter(None, names)))


def _read_alto(root: Element) -> Page:
    """Read an ALTO file. Raise InputError if its lines are not measured in its pixels."""
    unit, lines, size = root.findtext("{*}Description/{*}MeasurementUnit", "pixel"), [], None
    labels = {tag.get("ID", ""): tag.get("LABEL") or tag.get("TYPE") or "" for tag in root.iterfind("{*}Tags/*")}
    for page in root.iterfind(".//{*}Page"):
        size = _size(page.get("WIDTH", ""), page.get("HEIGHT", ""))
        if unit != "pixel" and not size:
            raise InputError(f"its unit is {unit}, and a page has no WIDTH and HEIGHT; allowed without them is pixel")
        for block, line in _lines_of_regions(page):
            polygon = line.find("{*}Shape/{*}Polygon")
            outline = _box(line) if polygon is None else polygon.get("POINTS", "")
            tags = (line.get("TAGREFS") or block.get("TAGREFS") or "").split()
            line_type = ",".join(labels[tag] for tag in tags if labels.get(tag))
            lines.append(Line(line.get("ID", ""), outline, _alto_baseline(line), _alto_text(line), line_type))
    return Page(root.findtext(".//{*}sourceImageInformation/{*}fileName") or "", lines, size)


def _alto_text(line: Element) -> str:
    pieces = [(child.tag.rpartition("}")[2], child.get("CONTENT", "")) for child in line]
    space = "" if "SP" in dict(pieces) else " "  # where spaces are not written, each String is a word
    text = space.join(" " if tag == "SP" else content for tag, content in pieces if tag in ("String", "SP"))
    return text + next((content for tag, content in pieces if tag == "HYP"), "")


def _alto_baseline(line: Element) -> str:
    """Return the points of a baseline; before ALTO 4.2 it was level, and only its height was written."""
    baseline = line.get("BASELINE", "")
    try:
        y, left = float(baseline), float(line.get("HPOS", ""))
        return f"{left},{y} {left + float(line.get('WIDTH', ''))},{y}"
    except ValueError:
        return baseline


def _box(line: Element) -> str:
    """Return the outline of an ALTO line without a polygon."""
    try:
        left, top, width, height = (float(line.get(name, "")) for name in ("HPOS", "VPOS", "WIDTH", "HEIGHT"))
    except ValueError:
        return ""
    right, bottom = left + width, top + height
    return f"{left},{top} {right},{top} {right},{bottom} {left},{bottom}"


def _points(written: str) -> Points:
    """Return the points (x, y) of an outline or a baseline; none if their numbers are not pairs."""
    numbers = [float(number) for number in re.findall(r"-?\d+(?:\.\d+)?", written)]
    return list(zip(numbers[::2], numbers[1::2], strict=True)) if len(numbers) % 2 == 0 else []


def _size(*sides: str) -> tuple[float, float] | None:
    """Return the width and height of a page; None where the XML does not say them."""
    width, height = (float(side) if re.fullmatch(r"\d+(\.\d+)?", side) else 0 for side in sides)
    return (width, height) if width and height else None


def find_picture(path: Path, name: str, folder: Path) -> Path:
    """Return the picture of a page; where it is missing, the place at which it should have been.

    It is looked for by the name in the XML, beside the XML and in the folder above; then by that name or the XML's own,
    whatever the suffix, the case or the percent signs, there and in the folders inside and beside: of these only
    where they are in the data set's `folder`, or that of the XML is one of its own, as "alto" beside "images".
    """
    bare = PureWindowsPath(name).name  # without folders, whichever way these are written
    near = [path.parent, path.parent.parent]
    places = [parent / which for parent in near for which in (name, bare)]
    if found := next((place.resolve() for place in places if place.is_file()), None):
        return found
    folders = [path.parent, *_folders(path.parent)]
    if path.parent != folder or folder.name.lower() in FORMAT_FOLDERS:
        folders += [path.parent.parent, *_folders(path.parent.parent)]
    stem = path.stem.removesuffix(".alto").removesuffix(".page")
    for wanted in dict.fromkeys(filter(None, (bare.lower(), unquote(bare).lower(), stem.lower()))):
        for parent in folders:
            there = _pictures(parent)
            if found := there.get(wanted) or there.get(_without_suffix(wanted)):
                return found.resolve()
    return places[0].resolve()


def _without_suffix(name: str) -> str:
    path = Path(name)
    return path.stem if path.suffix in PICTURES else name


@functools.lru_cache(maxsize=SIBLINGS)
def _pictures(folder: Path) -> dict[str, Path]:
    """Return the pictures in a folder by their names and by their stems, in lower case."""
    paths = sorted(path for path in _entries(folder) if path.suffix.lower() in PICTURES)
    return {path.stem.lower(): path for path in reversed(paths)} | {path.name.lower(): path for path in paths}


@functools.lru_cache(maxsize=SIBLINGS)
def _folders(parent: Path) -> list[Path]:
    return sorted(path for path in _entries(parent) if path.is_dir() and path.name[0] not in "._")[:SIBLINGS]


def _entries(folder: Path) -> Iterable[Path]:
    try:
        return list(folder.iterdir())
    except OSError:
        return []
