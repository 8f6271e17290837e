"""A page worked by hand -> PAGE XML, ALTO and PDF, and back."""

import io
from xml.etree import ElementTree

import numpy as np
import pypdfium2
import pytest
from PIL import Image

from project.data.page_xml import read_pages
from project.pages.alto import alto
from project.pages.page import Line, Outline, Page, Word
from project.pages.page_xml import page_xml
from project.pages.pdf import searchable_pdf


def rectangle(left: int, top: int, right: int, bottom: int) -> Outline:
    return (left, top), (right, top), (right, bottom), (left, bottom)


def written(text: str, left: int, top: int, region: int) -> Line:
    """Return a line of words that are 80 px wide and stand 100 px apart, 30 px high."""
    words = [
        Word(word, 0.9, rectangle(left + 100 * number, top, left + 100 * number + 80, top + 30))
        for number, word in enumerate(text.split())
    ]
    right = left + 100 * max(len(words), 1) - 20
    return Line(
        rectangle(left, top, right, top + 30), ((left, top + 24), (right, top + 24)), region, text, 0.8, tuple(words)
    )


PAGE = Page(
    (600, 400),
    0.0,
    (
        written("Chère Émilie, l’œuvre", 20, 40, 0),
        written('<b> & "x"', 20, 90, 0),
        written("", 20, 140, 0),
        written("1914", 500, 60, 1),
    ),
)


@pytest.mark.parametrize("page", [PAGE, Page((600, 400), 0.0)], ids=["written", "empty"])
@pytest.mark.parametrize(("kind", "write"), [("page", page_xml), ("alto", alto)])
def test_what_is_written_is_valid_by_its_schema(kind, write, page, schemas):
    schemas[kind].validate(io.BytesIO(write(page, "letter 1.jpg")))


@pytest.mark.parametrize("write", [page_xml, alto])
def test_texts_outlines_and_baselines_are_read_back_as_they_were(write, tmp_path):
    (tmp_path / "letter.xml").write_bytes(write(PAGE, "letter.png"))
    Image.new("L", PAGE.size, 255).save(tmp_path / "letter.png")
    rows = list(read_pages(tmp_path))
    assert [row.text for row in rows] == [line.text for line in PAGE.lines]
    assert [row.image.outline for row in rows] == [line.outline for line in PAGE.lines]
    assert {row.image.size for row in rows} == {(600.0, 400.0)}
    root = ElementTree.parse(tmp_path / "letter.xml").getroot()
    baselines = [
        element.get("points") or element.get("BASELINE")
        for element in root.iter()
        if element.tag.endswith("}Baseline") or element.get("BASELINE")
    ]
    assert baselines[0] == "20,64 300,64"
    assert len(baselines) == 4


@pytest.mark.parametrize(("kind", "write"), [("page", page_xml), ("alto", alto)])
def test_characters_that_xml_cannot_hold_are_replaced(kind, write, schemas):
    page = Page((600, 400), 0.0, (written("a\x07b \x1bc", 20, 40, 0),))
    document = write(page, "bell\x07.jpg")
    schemas[kind].validate(io.BytesIO(document))
    assert "a\ufffdb" in document.decode()


def words_of(document: bytes) -> tuple[str, dict[str, tuple[float, float]]]:
    """Return the text of a PDF's first page, and the middle of some words as shares of its sides, from its top left."""
    page = pypdfium2.PdfDocument(document)[0]
    text = page.get_textpage()
    width, height = page.get_size()
    places = {}
    for word in ("Émilie", "1914"):
        start, count = text.search(word).get_next()
        boxes = np.array([text.get_charbox(start + number) for number in range(count)])
        left, bottom, right, top = *boxes[:, :2].min(axis=0), *boxes[:, 2:].max(axis=0)
        places[word] = (left + right) / 2 / width, 1 - (bottom + top) / 2 / height
    return text.get_text_bounded(), places


def test_the_pdf_shows_the_picture_and_its_words_are_found_where_they_are_written():
    picture = Image.new("L", PAGE.size, 255)
    picture.paste(0, (120, 40, 200, 70))
    file = io.BytesIO()
    picture.save(file, "PNG")
    document = searchable_pdf(file.getvalue(), PAGE)
    text, places = words_of(document)
    assert "l’œuvre" in text
    assert '<b> & "x"' in text
    assert places["Émilie"] == pytest.approx((160 / 600, 55 / 400), abs=0.02)
    assert places["1914"] == pytest.approx((540 / 600, 75 / 400), abs=0.02)
    shown = np.asarray(
        pypdfium2.PdfDocument(document)[0].render(scale=600 / 216).to_pil().convert("L").resize(PAGE.size)
    )
    assert shown[55, 160] < 20  # the picture's stroke
    assert shown[75, 540] > 235  # the text itself is not drawn
