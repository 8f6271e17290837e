"""A page -> ALTO 4, as libraries and eScriptorium read it. Format: https://www.loc.gov/standards/alto/"""

from xml.etree import ElementTree
from xml.etree.ElementTree import Element, SubElement

from project.pages.page import Line, Outline, Page, box
from project.pages.page_xml import CREATOR, around, points
from project.pages.xml_text import allowed

NAMESPACE = "http://www.loc.gov/standards/alto/ns-v4#"


def alto(page: Page, picture: str) -> bytes:
    """Return the file of a page. picture: its file's name."""
    root = Element("alto", xmlns=NAMESPACE)
    description = SubElement(root, "Description")
    SubElement(description, "MeasurementUnit").text = "pixel"
    SubElement(SubElement(description, "sourceImageInformation"), "fileName").text = allowed(picture)
    software = SubElement(SubElement(description, "Processing", ID="reading"), "processingSoftware")
    SubElement(software, "softwareName").text = CREATOR
    width, height = (str(side) for side in page.size)
    layout = SubElement(SubElement(root, "Layout"), "Page", ID="page", PHYSICAL_IMG_NR="1", WIDTH=width, HEIGHT=height)
    space = SubElement(layout, "PrintSpace", HPOS="0", VPOS="0", WIDTH=width, HEIGHT=height)
    number = 0
    for region, lines in page.regions().items():
        block = SubElement(space, "TextBlock", {"ID": f"region_{region}", **_box(around(lines))})
        for line in lines:
            number += 1
            _line(SubElement(block, "TextLine", ID=f"line_{number}"), line)
    return ElementTree.tostring(root, encoding="utf-8", xml_declaration=True)


def _line(element: Element, line: Line) -> None:
    element.attrib.update(_box(line.outline), BASELINE=points(line.baseline))
    SubElement(SubElement(element, "Shape"), "Polygon", POINTS=points(line.outline))
    if not line.words:
        SubElement(element, "String", {"ID": f"{element.get('ID')}_word_1", "CONTENT": "", **_box(line.outline)})
    for number, word in enumerate(line.words, start=1):
        if number > 1:
            SubElement(element, "SP")
        name, sure = f"{element.get('ID')}_word_{number}", f"{word.confidence:.4f}"
        string = SubElement(
            element, "String", {"ID": name, "CONTENT": allowed(word.text), "WC": sure, **_box(word.outline)}
        )
        SubElement(SubElement(string, "Shape"), "Polygon", POINTS=points(word.outline))


def _box(outline: Outline) -> dict[str, str]:
    left, top, right, bottom = box(outline)
    sides = {"HPOS": left, "VPOS": top, "WIDTH": right - left, "HEIGHT": bottom - top}
    return {name: str(side) for name, side in sides.items()}
