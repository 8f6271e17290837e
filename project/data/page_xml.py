"""Pages with their lines in PAGE XML or ALTO, as eScriptorium, Transkribus, kraken and OCR-D export them.

Formats: https://ocr-d.de/en/gt-guidelines/pagexml/pagecontent_xsd.html and https://www.loc.gov/standards/alto/
"""

import os
import re
from collections import Counter
from collections.abc import Iterator
from pathlib import Path, PureWindowsPath
from xml.etree import ElementTree
from xml.etree.ElementTree import Element

from project.data.folders import split_and_page, visible
from project.data.rows import Row
from project.errors import InputError
from project.recognition.charset import normalize
from project.recognition.image import Region
from project.recognition.picture_file import printable_path

PAGE, ALTO = "PcGts", "alto"  # the names of their roots


def has_pages(folder: Path) -> bool:
    """Whether there is such a file in it."""
    return any(_root(path) in (PAGE, ALTO) for path in visible(folder, "*.xml"))


def read_pages(folder: Path) -> Iterator[Row]:
    """A row for each line; `image` is a region of the page's picture, which is looked for where the XML says, beside
    the XML, and in the folder above.

    Transkribus exports pages twice: where a picture is in several files, one with texts is read, and rather PAGE than
    ALTO. XML of other kinds (METS, metadata) is passed over; what cannot be read at all is a row that says so.
    """
    roots = {path: _root(path) for path in sorted(visible(folder, "*.xml"))}
    ordered = [path for kind in (PAGE, ALTO, "") for path, root in roots.items() if root == kind]
    names = Counter(path.stem for path in ordered)
    bare: list[Path] = []  # lines without texts: a file of the same name may have them with
    seen: set[Path] = set()
    for paths in (ordered, bare):
        for path in paths:
            try:
                root = ElementTree.parse(path).getroot()
                name, lines = (_page_lines if roots[path] == PAGE else _alto_lines)(root)
            except (ElementTree.ParseError, OSError, ValueError) as error:
                yield Row(
                    ValueError(f"{printable_path(path)}: cannot be read as XML: {error}"),
                    "",
                    source=printable_path(path),
                )
                continue
            another = paths is ordered and names[path.stem] > 1
            if another and lines and not any(text.strip() for *_, text in lines):
                bare.append(path)
                continue
            picture = _find_picture(path, name)
            if name and picture in seen:
                continue
            if lines:  # another file may have those of a page without
                seen.add(picture)
            split, _ = split_and_page(path, folder)
            page = printable_path(os.path.relpath(picture, folder))
            for number, (identity, size, outline, text) in enumerate(lines, start=1):
                source = f"{printable_path(path)}:{identity or number}"
                image = _region(picture, size, outline, source)
                yield Row(image, normalize(text), page=page, split=split, source=source)


def _root(path: Path) -> str:
    """The name of the root of an XML file, without its namespace; "" if it has none that can be read."""
    try:
        with path.open("rb") as file:
            _, root = next(ElementTree.iterparse(file, events=["start"]))
    except (ElementTree.ParseError, OSError, ValueError, StopIteration):
        return ""
    return root.tag.rpartition("}")[2]


Line = tuple[str, tuple[str, str], str, str]  # id, (width, height) of the page, outline, text: all as in the XML


def _page_lines(root: Element) -> tuple[str, list[Line]]:
    """The name of the picture, and the lines, of a PAGE file."""
    page = root.find("{*}Page")
    if page is None:
        return "", []
    size = page.get("imageWidth", ""), page.get("imageHeight", "")
    lines = []
    for line in page.iterfind(".//{*}TextLine"):
        coords = line.find("{*}Coords")
        outline = "" if coords is None else coords.get("points", "")
        if coords is not None and not outline:  # before 2013
            outline = " ".join(f"{point.get('x')},{point.get('y')}" for point in coords)
        readings = sorted(line.iterfind("{*}TextEquiv"), key=lambda reading: int(reading.get("index") or 0))
        text = readings[0].findtext("{*}Unicode") if readings else ""
        lines.append((line.get("id", ""), size, outline, text or ""))
    return page.get("imageFilename", ""), lines


def _alto_lines(root: Element) -> tuple[str, list[Line]]:
    """The name of the picture, and the lines, of an ALTO file. ValueError if they are not measured in its pixels."""
    unit, lines = root.findtext("{*}Description/{*}MeasurementUnit", "pixel"), []
    for page in root.iterfind(".//{*}Page"):
        size = page.get("WIDTH", ""), page.get("HEIGHT", "")
        if unit != "pixel" and not all(size):
            raise InputError(f"its unit is {unit}, and a page has no WIDTH and HEIGHT; allowed without them is pixel")
        for line in page.iterfind(".//{*}TextLine"):
            polygon = line.find("{*}Shape/{*}Polygon")
            outline = _box(line) if polygon is None else polygon.get("POINTS", "")
            pieces = [(child.tag.rpartition("}")[2], child.get("CONTENT", "")) for child in line]
            space = "" if "SP" in dict(pieces) else " "  # where spaces are not written, each String is a word
            text = space.join(" " if tag == "SP" else content for tag, content in pieces if tag in ("String", "SP"))
            hyphen = next((content for tag, content in pieces if tag == "HYP"), "")
            lines.append((line.get("ID", ""), size, outline, text + hyphen))
    return root.findtext(".//{*}sourceImageInformation/{*}fileName") or "", lines


def _box(line: Element) -> str:
    """The outline of an ALTO line without a polygon."""
    try:
        left, top, width, height = (float(line.get(name, "")) for name in ("HPOS", "VPOS", "WIDTH", "HEIGHT"))
    except ValueError:
        return ""
    right, bottom = left + width, top + height
    return f"{left},{top} {right},{top} {right},{bottom} {left},{bottom}"


def _region(picture: Path, size: tuple[str, str], outline: str, source: str) -> Region | ValueError:
    numbers = [float(number) for number in re.findall(r"-?\d+(?:\.\d+)?", outline)]
    if len(numbers) < 6 or len(numbers) % 2:
        return ValueError(f"{source}: its outline has not at least 3 points: {outline!r}")
    sides = [float(side) if re.fullmatch(r"\d+(\.\d+)?", side) else 0 for side in size]
    points = tuple(zip(numbers[::2], numbers[1::2], strict=True))
    return Region(str(picture), points, tuple(sides) if all(sides) else None)


def _find_picture(path: Path, name: str) -> Path:
    """The picture of a page; where it is missing, the place at which it should have been."""
    names = (name, PureWindowsPath(name).name)  # without folders, whichever way these are written
    places = [folder / which for folder in (path.parent, path.parent.parent) for which in names]
    return next((place.resolve() for place in places if place.is_file()), places[0].resolve())
