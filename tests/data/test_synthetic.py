"""The embedded default data: who writes what, what it looks like, and that it is made once and the same."""

import io
import string
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from importlib.metadata import metadata
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
from fontTools.ttLib import TTFont
from PIL import Image

from project.data import synthetic, texts
from project.data.synthetic import FONTS, font_files, render_line, synthesize
from project.data.texts import line_texts

SMALL = {"train": 24, "validation": 6, "test": 6}


def all_bytes(folder):
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir())}


def test_no_font_is_in_two_splits_and_there_are_at_least_ten():
    fonts = [font for split in FONTS.values() for font in split]
    assert len(fonts) == len(set(fonts)) >= 10


@pytest.mark.parametrize("font", [font for split in FONTS.values() for font in split])
def test_a_font_draws_every_printable_character_and_its_licence_is_free(font):
    for file in font_files(font):
        assert set(map(ord, string.printable[:95])) <= TTFont(file).getBestCmap().keys()
    licence = metadata(font)["License-Expression"]
    assert licence in ("OFL-1.1", "Apache-2.0")


@pytest.mark.parametrize("text", ["a", ".", "Dear Mr. O'Neill, you owe $1,234.56 (as of 31/12/1999) & more!"])
def test_a_line_image_is_dark_ink_on_light_paper_about_64_px_high(text):
    for seed in range(5):
        image = render_line(text, "fontpkg-indie-flower", np.random.default_rng(seed))
        height, width = image.shape
        assert image.dtype == np.uint8
        assert 8 <= height < 128
        assert width >= 8
        assert np.median(image) > 150
        assert image.min() < 0.6 * np.median(image)


def test_a_longer_text_makes_a_wider_image_and_no_two_are_alike():
    short, again, long = (
        render_line(text, "fontpkg-caveat", np.random.default_rng(seed))
        for text, seed in (("minimum", 0), ("minimum", 1), ("minimum " * 5, 0))
    )
    assert long.shape[1] > 3 * short.shape[1]
    assert short.shape != again.shape or (short != again).any()


def test_the_tables_hold_what_was_asked_for(tmp_path):
    made = synthesize(tmp_path, SMALL, seed=0)
    for split, count in SMALL.items():
        table = pq.read_table(made / f"{split}.parquet")
        assert table.column_names == ["image", "text", "writer", "split"]
        assert len(table) == count
        families = {font.removeprefix("fontpkg-").replace("-", " ").title() for font in FONTS[split]}
        for row in table.to_pylist():
            assert row["split"] == split
            assert row["writer"] in families
            assert row["text"].casefold() in {text.casefold() for text in line_texts(split, count, 0)}
            assert Image.open(io.BytesIO(row["image"]["bytes"])).mode == "L"


def folders_of(path):
    """What is there beside locks."""
    return [one for one in path.iterdir() if one.suffix != ".lock"]


def test_the_bytes_depend_on_the_seed_and_not_on_the_number_of_workers(tmp_path):
    lines = {"train": 220, "test": 5}
    alone = all_bytes(synthesize(tmp_path / "alone", lines, seed=3, jobs=1))
    assert all_bytes(synthesize(tmp_path / "together", lines, seed=3, jobs=2)) == alone
    other = all_bytes(synthesize(tmp_path / "other", lines, seed=4, jobs=1))
    assert other["train.parquet"] != alone["train.parquet"]


def test_what_was_made_is_not_made_again_and_leaves_nothing_else(tmp_path, monkeypatch):
    made = synthesize(tmp_path, SMALL, seed=0)
    monkeypatch.setattr(synthetic, "draw_rows", lambda *_: pytest.fail("rendered again"))
    assert synthesize(tmp_path, SMALL, seed=0) == made
    assert folders_of(tmp_path) == [made]


@pytest.mark.parametrize("file", [synthetic.__file__, texts.__file__, texts.PROSE])
def test_another_program_or_other_prose_makes_another_data_set(file, monkeypatch):
    read = Path.read_bytes
    before = synthetic.digest(SMALL, seed=0)
    monkeypatch.setattr(Path, "read_bytes", lambda path: read(path) + (b"#" if path == Path(file) else b""))
    assert synthetic.digest(SMALL, seed=0) != before


def test_nothing_is_left_of_a_data_set_that_was_interrupted(tmp_path, monkeypatch):
    def interrupted(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(synthetic, "draw_rows", interrupted)
    with pytest.raises(KeyboardInterrupt):
        synthesize(tmp_path, SMALL, seed=0)
    assert folders_of(tmp_path) == []


def test_of_two_that_ask_for_the_same_data_set_one_makes_it(tmp_path, monkeypatch):
    rows, drawn = synthetic.draw_rows, []
    monkeypatch.setattr(synthetic, "draw_rows", lambda split, *rest: drawn.append(split) or rows(split, *rest))
    with ThreadPoolExecutor(2) as both:
        folders = list(both.map(lambda seed: synthesize(tmp_path, SMALL, seed), (0, 0)))
    assert folders[0] == folders[1]
    assert sorted(drawn) == sorted(SMALL)


def test_drawing_does_not_need_torch():
    code = "import sys, project.data.synthetic; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], cwd=Path(__file__).parents[2]).returncode == 0


def test_errors_name_what_was_given_and_what_is_allowed(tmp_path):
    with pytest.raises(ValueError, match=r"'dev'.*train, validation, test"):
        synthesize(tmp_path, {"dev": 1}, seed=0)
    with pytest.raises(ValueError, match="'test' was to have -1"):
        synthesize(tmp_path, {"test": -1}, seed=0)
    with pytest.raises(ValueError, match=r"'fontpkg-comic'.*not installed.*fontpkg-caveat"):
        render_line("a", "fontpkg-comic", np.random.default_rng(0))
    assert folders_of(tmp_path) == []
