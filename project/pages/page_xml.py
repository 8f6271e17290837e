"""A page -> PAGE XML of 2019-07-15, as eScriptorium, Transkribus, kraken and OCR-D read it.

Format: https://github.com/PRImA-Research-Lab/PAGE-XML
"""

from datetime import UTC, datetime
from xml.etree import ElementTree
from xml.etree.ElementTree import Element, SubElement

from project.pages.page import Line, Outline, Page, box
from project.pages.xml_text import allowed

NAMESPACE = "http://schema.primaresearch.org/PAGE/gts/pagecontent/2019-07-15"
CREATOR = "handwriting_reader"


def page_xml(page: Page, picture: str, when: datetime | None = None) -> bytes:
    """Return the file of a page. picture: its file's name. when: of the making; now where it is None."""
    root = Element("PcGts", xmlns=NAMESPACE)
    metadata = SubElement(root, "Metadata")
    moment = (when or datetime.now(UTC)).strftime("%Y-%m-%dT%H:%M:%S")
    for name, text in (("Creator", CREATOR), ("Created", moment), ("LastChange", moment)):
        SubElement(metadata, name).text = text
    width, height = page.size
    body = SubElement(root, "Page", imageFilename=allowed(picture), imageWidth=str(width), imageHeight=str(height))
    if page.lines:
        order = SubElement(SubElement(body, "ReadingOrder"), "OrderedGroup", id="order")
        for index, region in enumerate(page.regions()):
            SubElement(order, "RegionRefIndexed", index=str(index), regionRef=f"region_{region}")
    number = 0
    for region, lines in page.regions().items():
        block = SubElement(body, "TextRegion", id=f"region_{region}")
        _coordinates(block, around(lines))
        for line in lines:
            number += 1
            _line(SubElement(block, "TextLine", id=f"line_{number}"), line)
        _reading(block, "\n".join(line.text for line in lines))
    return ElementTree.tostring(root, encoding="utf-8", xml_declaration=True)


def points(outline: Outline) -> str:
    """Return places as PAGE and ALTO write them: x,y x,y ..."""
    return " ".join(f"{x},{y}" for x, y in outline)


def around(lines: list[Line]) -> Outline:
    """Return the rectangle about lines."""
    left, top, right, bottom = zip(*(box(line.outline) for line in lines), strict=True)
    x, y = (min(left), max(right)), (min(top), max(bottom))
    return (x[0], y[0]), (x[1], y[0]), (x[1], y[1]), (x[0], y[1])


def _line(element: Element, line: Line) -> None:
    _coordinates(element, line.outline)
    SubElement(element, "Baseline", points=points(line.baseline))
    for number, word in enumerate(line.words, start=1):
        part = SubElement(element, "Word", id=f"{element.get('id')}_word_{number}")
        _coordinates(part, word.outline)
        _reading(part, word.text, word.confidence)
    _reading(element, line.text, line.confidence)


def _coordinates(element: Element, outline: Outline) -> None:
    SubElement(element, "Coords", points=points(outline))


def _reading(element: Element, text: str, confidence: float | None = None) -> None:
    equivalent = SubElement(element, "TextEquiv", {} if confidence is None else {"conf": f"{confidence:.4f}"})
    SubElement(equivalent, "Unicode").text = allowed(text)
