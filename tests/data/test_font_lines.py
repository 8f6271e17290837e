"""Lines in the fonts and texts of a user: here, fonts that come with the embedded data, and a page of text."""

import io
import shutil

import numpy as np
import pyarrow.parquet as pq
import pytest
from PIL import Image

from project.data import font_lines, multilingual, synthetic
from project.data.dataset import load_data
from project.data.rows import SPLITS

PACKAGES = ("fontpkg-caveat", "fontpkg-kalam", "fontpkg-pacifico", "fontpkg-permanent-marker", "fontpkg-zeyada")


@pytest.fixture(scope="module")
def fonts(tmp_path_factory):
    folder = tmp_path_factory.mktemp("fonts")
    for package in PACKAGES:
        shutil.copy(synthetic.font_files(package)[0], folder / f"{package}.ttf")
    return folder


@pytest.fixture(scope="module")
def texts(tmp_path_factory):
    folder = tmp_path_factory.mktemp("texts")
    (folder / "english.txt").write_text("\n".join(f"Paragraph {n}: the cat sat on the mat." for n in range(200)))
    (folder / "french.txt").write_text("\n".join(f"Alinéa {n} : « l'été », dit-elle." for n in range(200)))
    return folder


def test_each_font_is_in_one_split_and_a_table_holds_what_was_asked_for(fonts, texts, tmp_path):
    lines = {"train": 30, "validation": 5, "test": 5}
    made = font_lines.synthesize(str(fonts), str(texts), tmp_path, lines, seed=1)
    writers = {}
    for split, count in lines.items():
        rows = pq.read_table(made / f"{split}.parquet").to_pylist()
        assert len(rows) == count
        assert {row["split"] for row in rows} == {split}
        assert all(0 < len(row["text"]) <= multilingual.LONGEST for row in rows)
        assert all(Image.open(io.BytesIO(row["image"]["bytes"])).mode == "L" for row in rows)
        writers[split] = {row["writer"] for row in rows}
    assert not writers["train"] & writers["validation"] | writers["train"] & writers["test"]
    assert set.union(*writers.values()) <= set(PACKAGES)
    assert font_lines.synthesize(str(fonts), str(texts), tmp_path, lines, seed=1) == made


def test_a_data_set_is_named_by_its_fonts_and_texts(fonts, texts, tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    lines = {"train": 12, "validation": 3, "test": 3}
    known = "".join(map(chr, range(32, 127))) + multilingual.LETTERS + multilingual.MARKS
    name = f"synthetic:{fonts}:{texts}"
    data = load_data(name, height=16, seed=1, synthetic_lines=lines, characters=known)
    assert {split: (data.rows["split"] == split).sum() for split in SPLITS} == lines


def test_too_few_fonts_or_no_texts_are_refused(fonts, texts, tmp_path):
    with pytest.raises(ValueError, match=r"fonts: .* has 0 font files \(\.ttf"):
        font_lines.synthesize(str(texts), str(texts), tmp_path, {"train": 1}, 1)
    with pytest.raises(ValueError, match=r"texts: .* is neither a text file nor a folder"):
        font_lines.synthesize(str(fonts), str(fonts), tmp_path, {"train": 1}, 1)


def test_of_eight_fonts_or_more_an_eighth_is_held_out_for_each_of_validation_and_test(tmp_path):
    files = [tmp_path / f"{number}.ttf" for number in range(16)]
    by_split = {split: font_lines.fonts_of(split, files) for split in SPLITS}
    assert {split: len(own) for split, own in by_split.items()} == {"train": 12, "validation": 2, "test": 2}
    assert sorted(file for own in by_split.values() for file in own) == sorted(files)


def test_a_font_is_chosen_that_has_the_characters_and_one_of_capitals_writes_capitals(fonts, monkeypatch):
    marker, kalam = (str(fonts / f"fontpkg-{name}.ttf") for name in ("permanent-marker", "kalam"))
    assert font_lines.small_are_capitals(marker)
    assert not font_lines.small_are_capitals(kalam)
    rng = np.random.default_rng(0)
    assert font_lines.choose_font("Dear Ann", [marker], rng) == (marker, "DEAR ANN")
    monkeypatch.setattr(font_lines, "lacking", lambda file: {"é", "É"} if file == marker else set())
    for _ in range(5):
        assert font_lines.choose_font("été", [marker, kalam], rng) == (kalam, "été")
    assert font_lines.choose_font("été", [marker], rng) == (marker, "T")


def test_joined_letters_are_found_out_from_the_font_file(fonts):
    joined = {package for package in PACKAGES if synthetic.joins_letters(str(fonts / f"{package}.ttf"))}
    assert "fontpkg-pacifico" in joined
    assert "fontpkg-kalam" not in joined


def test_lines_as_on_a_page_are_pictures_like_the_others(fonts):
    file = str(fonts / "fontpkg-kalam.ttf")
    for seed in range(20):
        image = font_lines.render("the mat", file, np.random.default_rng(seed))
        assert image.dtype == np.uint8
        assert 20 < image.shape[0] < 160
        assert np.ptp(image) > 40


def test_texts_are_prose_and_records_of_both_files_and_of_one_split():
    texts = [[f"Paragraph {n} of it" for n in range(300)], [f"Alinéa {n} de lui" for n in range(300)]]
    lines = {split: multilingual.sample_lines(split, 200, texts, seed=1) for split in SPLITS}
    assert multilingual.sample_lines("train", 200, texts, seed=1) == lines["train"]
    paragraphs = {*texts[0], *texts[1]}
    for split, own in lines.items():
        assert any(line.startswith("Paragraph") for line in own)
        assert any(line.startswith("Alinéa") for line in own)
        assert all(line == line.strip() and len(line) <= multilingual.LONGEST for line in own)
        for paragraph in (line for line in own if line in paragraphs):
            assert multilingual.split_of(paragraph) == split


def test_quotation_marks_apostrophes_and_dashes_vary():
    rng = np.random.default_rng(0)
    seen = {multilingual.typeset('"It\'s late—go...", he said', rng) for _ in range(200)}
    for mark in ("“It", "« It", "„It", "’s", "'s", "–", "—", "late-go", "…", "..."):  # noqa: RUF001
        assert any(mark in line for line in seen), mark
