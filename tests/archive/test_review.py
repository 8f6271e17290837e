import shutil

import pandas as pd
import pytest
from playwright.sync_api import sync_playwright

from project.archive import review, transcription
from project.archive.summary import summarize
from project.recognition.image import read_image
from project.recognition.recognizer import Recognizer
from project.tracking.registry import BASE, PACKAGE, TEST_INPUTS
from tests.rows import read_rows

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")


@pytest.fixture
def pictures(tmp_path):
    folder = tmp_path / "pictures"
    folder.mkdir()
    for number, path in enumerate(sorted(TEST_INPUTS.glob("*.png"))[:4]):
        shutil.copy(path, folder / f"{number}.png")
    return folder


@pytest.fixture
def parts(tmp_path):
    folder = tmp_path / "read"
    folder.mkdir()
    return folder


@pytest.fixture
def reviewed_sources(pictures, parts, tmp_path):
    """Three lines for correction, and two whose pictures are gone, or spoilt."""
    (pictures / "spoilt.png").write_bytes(b"no picture")
    read = {
        "2.png": 'He said "no", & <went>',
        "gone.png": "nothing",
        "0.png": "= 1",
        "3.png": "café",
        "spoilt.png": "a",
    }
    lines = pd.DataFrame(
        {
            "source": [str(pictures / name) for name in read],
            "text": read.values(),
            "confidence": [0.1, 0.2, 0.3, 0.4, 0.5],
            "line": None,
            "outline": None,
        },
        index=[0, 0, 1, 0, 1],  # as each part of an archive counts its own
    )
    table = tmp_path / "to correct" / "day #1.csv"
    assert review.write_review(str(pictures), lines, table, parts, Recognizer.load(BASE)) == 3
    return table


def test_the_table_has_a_picture_for_each_line_and_no_text_until_somebody_writes_it(reviewed_sources, pictures, parts):
    rows = read_rows(reviewed_sources)
    assert list(rows["text"]) == ["", "", ""]
    for image, name in zip(rows["image"], ("2.png", "0.png", "3.png"), strict=True):
        assert (read_image(image) == read_image(pictures / name)).all()
    table = pd.read_csv(reviewed_sources)
    assert list(table["read"]) == ['He said "no", & <went>', "= 1", "café"]
    assert list(table["confidence"]) == [0.1, 0.3, 0.4]
    assert review.reviewed_places(parts) >= set(table["source"])


@pytest.mark.skipif(not CHROMIUM, reason="Chromium is not installed")
def test_what_is_confirmed_in_the_browser_comes_back_as_a_data_set(reviewed_sources, pictures):
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        page = browser.new_page()
        page.goto(reviewed_sources.with_suffix(".html").as_uri())
        assert page.eval_on_selector_all("img", "all => all.every(picture => picture.naturalWidth > 100)")
        assert page.locator("input").nth(0).input_value() == 'He said "no", & <went>'
        page.keyboard.press("Enter")  # the first line is right, and has the focus
        page.keyboard.press("Control+A")
        page.keyboard.type('Né en 1871, "dit-on"')
        page.keyboard.press("Tab")  # changed, and so confirmed
        assert page.locator("output").text_content() == "2"
        with page.expect_download() as download:
            page.locator("#save").click()
        assert download.value.suggested_filename == reviewed_sources.name
        download.value.save_as(reviewed_sources)
        browser.close()
    rows = read_rows(reviewed_sources)
    assert list(rows["text"]) == ['He said "no", & <went>', 'Né en 1871, "dit-on"']
    assert (read_image(rows["image"][1]) == read_image(pictures / "0.png")).all()


@pytest.mark.skipif(not CHROMIUM, reason="Chromium is not installed")
def test_a_whole_page_is_corrected_beside_its_picture(pictures, parts, tmp_path):
    shutil.copy(PACKAGE / "figures" / "letter.jpg", pictures)
    recognizer, table = Recognizer.load(BASE), tmp_path / "pages.csv"
    transcription.transcribe(str(pictures), parts, recognizer, 1)
    lines = summarize(parts, chosen=3).by_page  # the whole page, although three lines were asked for
    assert review.write_review(str(pictures), lines, table, parts, recognizer) == 15
    assert len(summarize(parts, chosen=9, exclude=review.reviewed_places(parts)).by_page) == 0
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        page = browser.new_page()
        page.goto(table.with_suffix(".html").as_uri())
        assert page.eval_on_selector_all("img", "all => all.every(picture => picture.naturalWidth > 100)")
        page.locator("polygon").nth(4).click()
        assert page.evaluate("document.activeElement === document.querySelectorAll('input')[4]")
        page.keyboard.press("Control+A")
        page.keyboard.type("as it should be")
        page.locator(".whole").click()
        assert page.locator("output").text_content() == "15"
        with page.expect_download() as download:
            page.locator("#save").click()
        download.value.save_as(table)
        browser.close()
    rows = read_rows(table)
    read = list(lines["text"])
    assert list(rows["text"]) == [*read[:4], "as it should be", *read[5:]]
    assert set(rows["page"]) == {str(pictures / "letter.jpg")}
    assert recognizer.read([recognizer.line_image(read_image(rows["image"][8]))]) == [read[8]]


def test_corrections_are_never_overwritten(reviewed_sources, pictures, parts):
    with pytest.raises(ValueError, match=r"day #1\.csv is there already"):
        review.check_place(reviewed_sources, str(pictures), parts, parts)
    reviewed_sources.unlink()
    with pytest.raises(ValueError, match="day #1 is there already"):
        review.check_place(reviewed_sources, str(pictures), parts, parts)
    shutil.rmtree(reviewed_sources.with_suffix(""))
    with pytest.raises(ValueError, match=r"day #1\.html is there already"):
        review.check_place(reviewed_sources, str(pictures), parts, parts)
    with pytest.raises(ValueError, match=r"lines\.html is not a \.csv table"):
        review.check_place(reviewed_sources.with_name("lines.html"), str(pictures), parts, parts)


def test_a_review_does_not_stand_where_it_would_be_taken_for_pictures_or_parts(pictures, parts):
    for folder in (pictures, parts):
        with pytest.raises(ValueError, match=f"day1.csv is in the folder {folder}"):
            review.check_place(folder / "below" / "day1.csv", str(pictures), parts, parts)
    review.check_place(parts.with_name("day1.csv"), str(pictures), parts, parts)


def test_a_review_does_not_take_the_place_of_the_output(pictures, tmp_path):
    output = tmp_path / "out.csv"
    with pytest.raises(ValueError, match=r"out\.csv and its folder would stand where the output stands"):
        review.check_place(output, str(pictures), tmp_path / "out.csv.parts", output)
    with pytest.raises(ValueError, match=r"out\.csv and its folder would stand where the output stands"):
        review.check_place(output, str(pictures), tmp_path / "out", tmp_path / "out")
