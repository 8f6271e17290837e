import shutil

import cv2
import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pypdfium2
import pytest
from PIL import Image

from project.archive import transcription
from project.archive.page_files import PageFiles, page_folder
from project.archive.summary import summarize
from project.data.page_xml import read_pages
from project.data.rows import Row
from project.recognition.picture_file import PageOf
from project.recognition.recognizer import Recognizer
from project.tracking.registry import BASE, PACKAGE, TEST_INPUTS

LETTER = PACKAGE / "figures" / "letter.jpg"


@pytest.fixture(scope="module")
def recognizer():
    return Recognizer.load(BASE)


@pytest.fixture
def scans(tmp_path):
    """A letter, as it is and below as the second page of a PDF, after an empty one, and a picture of a line."""
    folder = tmp_path / "scans"
    (folder / "box 2").mkdir(parents=True)
    shutil.copy(LETTER, folder)
    shutil.copy(min(TEST_INPUTS.glob("*.png")), folder / "line.png")
    letter = Image.open(LETTER).convert("L").resize((720, 940))
    Image.new("L", (720, 940), 240).save(folder / "box 2" / "letters.pdf", save_all=True, append_images=[letter])
    return folder


def read(images, parts, recognizer, layout="auto", kind="text"):
    """Transcribe into `parts` with a file of each page; returns the folder of these."""
    parts.mkdir(exist_ok=True)
    files = PageFiles(page_folder(parts, str(images)), str(images), kind)
    transcription.transcribe(str(images), parts, recognizer, 1, layout, files)
    return files.folder


def table_of(parts):
    return transcription.table_of(parts).to_table().to_pandas()


def test_each_line_of_a_page_is_a_row_and_each_page_a_file(scans, recognizer, tmp_path):
    folder = read(scans, tmp_path / "read", recognizer)
    table = table_of(tmp_path / "read")
    pdf = str(scans / "box 2" / "letters.pdf")
    assert list(dict.fromkeys(table["source"])) == [
        str(scans / "letter.jpg"), str(scans / "line.png"), f"{pdf}:1", f"{pdf}:2",
    ]  # fmt: skip
    letter = table[table["source"] == str(scans / "letter.jpg")]
    assert list(letter["line"]) == list(range(1, 16))
    assert (folder / "letter.jpg.txt").read_text("utf-8").splitlines() == list(letter["text"])
    assert list(table.loc[table["source"] == f"{pdf}:2", "page"]) == [2] * 15
    assert table.loc[table["source"] == str(scans / "line.png"), ["line", "outline"]].isna().all(axis=None)
    written = sorted(str(path.relative_to(folder)) for path in folder.rglob("*.*"))
    assert written[-1] == "letter.jpg.txt"
    assert "box 2/letters.pdf.2.txt" in written


def test_an_empty_page_is_a_row_without_a_confidence(tmp_path, recognizer):
    Image.new("L", (900, 1200), 240).save(tmp_path / "empty.png")
    folder = read(tmp_path / "empty.png", tmp_path / "read", recognizer, layout="page")
    (row,) = table_of(tmp_path / "read").itertuples()
    assert (row.line, row.text) == (0, "")
    assert pd.isna(row.confidence)
    assert pd.isna(row.error)
    assert (folder / "empty.png.txt").read_text() == "\n"
    assert summarize(tmp_path / "read", chosen=5).least_certain.empty


def test_a_second_call_reads_no_page_again(scans, recognizer, tmp_path):
    folder = read(scans, tmp_path / "read", recognizer)
    table = table_of(tmp_path / "read")
    shutil.rmtree(folder)
    read(scans, tmp_path / "read", recognizer)
    assert not folder.exists()
    pd.testing.assert_frame_equal(table_of(tmp_path / "read"), table)


@pytest.mark.parametrize("kind", ["page", "alto"])
def test_page_and_alto_come_back_as_the_same_lines_on_the_same_picture(recognizer, tmp_path, kind):
    (tmp_path / "scans").mkdir()
    shutil.copy(LETTER, tmp_path / "scans")
    folder = read(tmp_path / "scans", tmp_path / "read", recognizer, kind=kind)
    table, rows = table_of(tmp_path / "read"), list(read_pages(folder))
    assert [row.text for row in rows] == list(table["text"])
    assert [" ".join(f"{x:g},{y:g}" for x, y in row.image.outline) for row in rows] == list(table["outline"])
    assert {row.image.page for row in rows} == {str(tmp_path / "scans" / "letter.jpg")}


def test_the_text_of_a_searchable_pdf_is_that_of_the_page(scans, recognizer, tmp_path):
    folder = read(scans / "letter.jpg", tmp_path / "read", recognizer, kind="pdf")
    with pypdfium2.PdfDocument(folder / "letter.jpg.pdf") as document:
        text = document[0].get_textpage().get_text_range()
    assert text.split() == " ".join(table_of(tmp_path / "read")["text"]).split()


def test_an_archive_from_before_pages_goes_on(tmp_path, recognizer):
    (tmp_path / "read").mkdir()
    old = pd.DataFrame({"source": ["a"], "text": ["x"], "confidence": [0.5], "model_version": [1], "error": [None]})
    schema = pa.schema([field for field in transcription.SCHEMA if field.name in old.columns])
    pq.write_table(pa.Table.from_pandas(old, schema), tmp_path / "read" / "part-000000.parquet")
    line = min(TEST_INPUTS.glob("*.png"))
    transcription.transcribe(str(line), tmp_path / "read", recognizer, 2)
    assert list(table_of(tmp_path / "read")["source"]) == ["a", str(line)]
    assert list(summarize(tmp_path / "read", chosen=2).least_certain["source"])[-1] == "a"


def test_a_file_is_named_after_its_picture_even_if_that_is_not_in_the_folder():
    files = PageFiles(PACKAGE / "read.pages", "/scans", "alto")
    assert files.path(Row("/scans/box/a.jpg", "", source="/scans/box/a.jpg")) == files.folder / "box/a.jpg.xml"
    page = Row(PageOf("/scans/b.pdf", 3), "", source="/scans/b.pdf:3")
    assert files.path(page) == files.folder / "b.pdf.3.xml"
    assert files.path(Row(b"", "", source="/tables/lines.parquet:7")) == files.folder / "lines.parquet:7.xml"


def curved(picture: np.ndarray) -> np.ndarray:
    """Return a picture whose rows are waves, 12 px high and 900 px long."""
    y, x = np.indices(picture.shape).astype(np.float32)
    return cv2.remap(
        picture, x, y + 12 * np.sin(x / 900 * 2 * np.pi), cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE
    )


@pytest.fixture(scope="module")
def hard_pages(tmp_path_factory):
    """The letter turned by a quarter and by some degrees, on paper that is not flat, and twice side by side."""
    folder = tmp_path_factory.mktemp("hard")
    letter = Image.open(LETTER).convert("L")
    letter.rotate(90, expand=True).save(folder / "sideways.png")
    letter.rotate(7, expand=True, fillcolor=80, resample=Image.Resampling.BICUBIC).save(folder / "tilted.png")
    flat = np.asarray(letter)
    Image.fromarray(curved(flat)).save(folder / "curved.png")
    Image.fromarray(np.concatenate([flat, flat], axis=1)).save(folder / "columns.png")
    return folder


@pytest.mark.parametrize("kind", ["page", "alto"])
def test_files_of_turned_curved_and_several_columns_are_valid_and_read_back(
    kind, hard_pages, recognizer, schemas, tmp_path
):
    folder = read(hard_pages, tmp_path / "read", recognizer, "page", kind)
    table = table_of(tmp_path / "read")
    for name, lines in (("sideways", 15), ("tilted", 15), ("curved", 15), ("columns", 30)):
        schemas[kind].validate(folder / f"{name}.png.xml")
        (tmp_path / name).mkdir()
        shutil.copy(folder / f"{name}.png.xml", tmp_path / name / f"{name}.xml")
        shutil.copy(hard_pages / f"{name}.png", tmp_path / name)
        rows = list(read_pages(tmp_path / name))
        assert len(rows) == lines
        assert [row.text for row in rows] == list(table.loc[table["source"].str.endswith(f"{name}.png"), "text"])
