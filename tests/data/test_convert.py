"""Any data set as parquet files with a data card: whole, once, and as its own readers and others' read it."""

import io
import subprocess
import sys

import datasets
import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest
from PIL import Image, ImageDraw, ImageFont

from project.data.convert import ROW_GROUP, convert
from project.data.rows import of_split
from project.data.rules import Rules
from project.evaluation.metrics import total_edits
from project.recognition.image import read_image
from project.recognition.recognizer import Recognizer
from project.tracking.registry import BASE
from tests.conftest import ROOT
from tests.rows import read_data_set, read_rows


def picture(number, form="PNG"):
    """A picture that no other number has."""
    file = io.BytesIO()
    pixels = np.full((20, 64), 255, np.uint8)
    pixels[5:15, 2 : 2 + 30] = np.random.default_rng(number).integers(0, 100, (10, 30))
    Image.fromarray(pixels).save(file, form)
    return file.getvalue()


@pytest.fixture
def scans(tmp_path):
    """A folder to convert."""
    folder = tmp_path / "scans"
    folder.mkdir()
    return folder


def lines(count, **columns):
    rows = {"image": [picture(k) for k in range(count)], "text": [f"line {k}" for k in range(count)]}
    return pd.DataFrame(rows | {"writer": [f"writer {k % 20}" for k in range(count)]} | columns)


def test_what_is_converted_is_read_as_before_and_its_splits_are_kept(tmp_path):
    lines(600).to_parquet(tmp_path / "lines.parquet")
    before = read_data_set(tmp_path / "lines.parquet", seed=3)
    counts = convert(str(tmp_path / "lines.parquet"), tmp_path / "out", seed=3)
    for seed in (3, 4):  # splits are given now
        after = read_data_set(tmp_path / "out", seed=seed)
        for split in ("train", "validation", "test"):
            old, new = (of_split(rows, split) for rows in (before, after))
            assert len(new) == counts[split] > 0
            for column in ("image", "text", "writer"):
                assert list(old[column]) == list(new[column])


def test_it_is_a_data_set_to_the_library_of_the_hugging_face_hub(tmp_path):
    lines(60).to_parquet(tmp_path / "lines.parquet")
    counts = convert(str(tmp_path / "lines.parquet"), tmp_path / "@home: letters", seed=0)
    loaded = datasets.load_dataset(str(tmp_path / "@home: letters"), cache_dir=tmp_path / "cache")
    assert {split: len(rows) for split, rows in loaded.items()} == {
        s: counts[s] for s in ("train", "validation", "test")
    }
    assert loaded["test"][0]["image"].size == (64, 20)


def test_it_is_written_in_row_groups_so_that_nobody_needs_to_hold_it_all(tmp_path):
    lines(700, split=["train"] * 600 + ["validation"] * 50 + ["test"] * 50).to_parquet(tmp_path / "lines.parquet")
    convert(str(tmp_path / "lines.parquet"), tmp_path / "out", seed=0)
    train = pq.ParquetFile(tmp_path / "out/train.parquet")
    assert [train.metadata.row_group(k).num_rows for k in range(train.num_row_groups)] == [ROW_GROUP, ROW_GROUP, 88]


def test_what_cannot_be_used_is_left_out_counted_and_listed(scans, tmp_path):
    for k in range(6):
        (scans / f"{k}.jpg").write_bytes(picture(k, "JPEG"))
        (scans / f"{k}.gt.txt").write_text(f"line {k}")
    (scans / "1.jpg").write_bytes(picture(1, "JPEG")[:400])
    (scans / "2.jpg").write_bytes(b"%PDF-1.7")
    (scans / "3.gt.txt").write_text(" \n")
    counts = convert(str(scans), tmp_path / "out", seed=0)
    assert counts == {"train": 1, "validation": 1, "test": 1, "rejected": 3, "leaks": 0}
    rejected = pd.read_csv(tmp_path / "out/rejected_rows.csv").set_index("source")["reason"]
    assert "cannot be read as a picture: " in rejected[f"{scans}/1.jpg"]
    assert "not a picture that can be read" in rejected[f"{scans}/2.jpg"]
    assert rejected[f"{scans}/3.jpg"] == "the text is empty"
    assert {row.image for row in read_rows(tmp_path / "out").itertuples()} == {picture(k, "JPEG") for k in (0, 4, 5)}


def test_what_is_wrong_with_a_name_that_is_not_utf_8_is_told_as_well_as_it_can_be(scans, tmp_path):
    for name, content in (("caf\udce9.png", b"no picture"), ("a.png", picture(0)), ("b.png", picture(1))):
        (scans / name).write_bytes(content)
        (scans / name).with_suffix(".gt.txt").write_text("un")
    (scans / "c.png").write_bytes(picture(2))
    (scans / "c.gt.txt").write_text("deux")
    assert convert(str(scans), tmp_path / "out", seed=0)["rejected"] == 1
    (reason,) = pd.read_csv(tmp_path / "out/rejected_rows.csv")["reason"]
    assert "caf\ufffd.png: not a picture" in reason


def test_a_region_of_a_page_becomes_a_picture_of_its_own(scans, tmp_path):
    line = (
        '<TextLine><Coords points="0,{0} 63,{0} 63,{1} 0,{1}"/><TextEquiv><Unicode>{2}</Unicode></TextEquiv></TextLine>'
    )
    xml = "".join(line.format(20 * k, 20 * k + 19, f"line {k}") for k in range(3))
    page = np.concatenate([read_image(picture(k)) for k in range(3)])
    for k in range(3):
        Image.fromarray(page + np.uint8(k)).save(scans / f"{k}.png")
        (scans / f"{k}.xml").write_text(f'<PcGts><Page imageFilename="{k}.png">{xml}</Page></PcGts>')
    convert(str(scans), tmp_path / "out", seed=0, crops="lossless")
    rows = read_rows(tmp_path / "out").set_index(["page", "text"])
    assert len(rows) == 9
    assert rows.groupby("page")["split"].nunique().max() == 1
    assert (read_image(rows["image"]["0.png", "line 2"]) == read_image(picture(2))).all()


def test_the_card_says_what_is_in_it_where_it_comes_from_and_what_is_wrong_with_it(tmp_path):
    rows = lines(
        6, writer=["Ann", "Bob"] * 3, text=["ab", "ba", "ab", "ab", "ab", "\u20ac"], split=["train"] * 4 + ["test"] * 2
    )
    rows.loc[6] = [b"", "no picture", "Ann", "train"]
    rows.to_parquet(tmp_path / "lines.parquet")
    counts = convert(str(tmp_path / "lines.parquet"), tmp_path / "out", seed=7)
    assert counts["leaks"] == 3  # Ann wrote "ab" twice, not for the test, and once for it
    card = (tmp_path / "out/README.md").read_text()
    assert f"from `{tmp_path}/lines.parquet` (seed 7)" in card
    assert "| test | 2 | 2 | not named | 3 | given |" in card
    assert "| by writer |" in card
    assert "1 of 7 rows were left out" in card
    assert "3 rows have the same picture" in card
    assert "no training can teach them: \u20ac" in card
    assert len(pd.read_csv(tmp_path / "out/leaks.csv")) == 3


def test_it_is_written_whole_or_not_at_all_and_never_over_another(scans, tmp_path):
    lines(30).to_parquet(scans / "part-0.parquet")
    (scans / "part-1.parquet").write_bytes((scans / "part-0.parquet").read_bytes()[:-100])
    with pytest.raises(ValueError, match=r"is in the folder .*scans; choose a place outside of it"):
        convert(str(scans), scans / "out", seed=0)
    with pytest.raises(ValueError, match=r"part-1\.parquet cannot be read as parquet"):
        convert(str(scans), tmp_path / "sets/out", seed=0)
    assert not list((tmp_path / "sets").iterdir())
    (tmp_path / "notes").mkdir()
    with pytest.raises(ValueError, match="notes is there already"):
        convert(str(scans / "part-0.parquet"), tmp_path / "notes", seed=0)


def test_a_data_set_of_nothing_but_bad_rows_is_refused_with_the_first_reason(tmp_path):
    lines(3, image=b"%PDF-1.7").to_parquet(tmp_path / "lines.parquet")
    with pytest.raises(ValueError, match=r"none of the 3 rows of .* the first because: the picture: not a picture"):
        convert(str(tmp_path / "lines.parquet"), tmp_path / "out", seed=0)


def test_peak_memory_is_that_of_a_few_row_groups_however_many_there_are(tmp_path):
    noise = io.BytesIO()
    Image.fromarray(np.random.default_rng(0).integers(0, 256, (280, 280), dtype=np.uint8)).save(noise, "PNG")
    for name, count in (("few", ROW_GROUP), ("many", 8 * ROW_GROUP)):
        lines(count, image=noise.getvalue()).to_parquet(
            tmp_path / f"{name}.parquet", row_group_size=ROW_GROUP, use_dictionary=False, compression=None
        )
    script = """
import resource, sys
from pathlib import Path
from project.data.convert import convert
for name in ("few", "many"):
    convert(f"{sys.argv[1]}/{name}.parquet", Path(sys.argv[1], name), 0)
    print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)
"""
    ran = subprocess.run([sys.executable, "-c", script, tmp_path], cwd=ROOT, capture_output=True, text=True, check=True)
    few, many = map(float, ran.stdout.split())  # MB
    assert (tmp_path / "many.parquet").stat().st_size > 150e6
    assert many - few < 50


@pytest.fixture
def page(scans):
    """A page of three lines of 600 x 200 px, one with a gap, one of print."""
    text = ImageFont.load_default(90)
    lines, picture_of_page = [], Image.new("L", (1400, 660), 235)
    for number, words in enumerate(("the garden of rain", "a [...] word", "page 7")):
        top = 20 + 200 * number
        ImageDraw.Draw(picture_of_page).text((40, top + 30), words, fill=30, font=text)
        points = f"20,{top} 1300,{top} 1300,{top + 180} 20,{top + 180}"
        custom = ' custom="structure {type:print;}"' if number == 2 else ""
        lines.append(
            f'<TextLine{custom}><Coords points="{points}"/><TextEquiv><Unicode>{words}</Unicode></TextEquiv></TextLine>'
        )
    grain = np.random.default_rng(0).normal(0, 4, (660, 1400))
    picture_of_page = Image.fromarray((np.asarray(picture_of_page) + grain).clip(0, 255).astype(np.uint8))
    for name in "abc":
        picture_of_page.putpixel((0, 0), ord(name))
        picture_of_page.save(scans / f"{name}.png")
        (scans / f"{name}.xml").write_text(f'<PcGts><Page imageFilename="{name}.png">{"".join(lines)}</Page></PcGts>')
    return scans


def test_lines_cut_out_of_pages_are_written_as_small_as_they_can_be_read(page, tmp_path):
    for crops in ("scaled", "lossless"):
        convert(str(page), tmp_path / crops, seed=0, crops=crops)
    small, large = (
        read_rows(tmp_path / crops).query("text == 'the garden of rain'") for crops in ("scaled", "lossless")
    )
    base = Recognizer.load(BASE)
    for image, whole in zip(small["image"], large["image"], strict=True):
        assert len(image) < len(whole) / 2
        texts = base.read([base.line_image(read_image(cut)) for cut in (image, whole)])
        assert total_edits(texts[:1], texts[1:]) <= 1


def test_marks_and_types_are_taken_by_rule_and_counted_in_the_card(page, tmp_path):
    rules = Rules(marks="map", left_out_types=frozenset({"print"}), writer="none")
    counts = convert(str(page), tmp_path / "out", seed=0, rules=rules)
    assert counts["rejected"] == 6
    assert set(read_rows(tmp_path / "out")["text"]) == {"the garden of rain"}
    card = (tmp_path / "out/README.md").read_text()
    assert "Editorial marks (`marks=map`): gap […]: 3" in card
    assert "Types of lines (`left_out_types=print`): print: 3" in card
    reasons = set(pd.read_csv(tmp_path / "out/rejected_rows.csv")["reason"])
    assert reasons == {"left out for its editorial mark: gap […]", "left out for its type: print"}


def test_the_card_names_hands_that_are_in_two_splits_and_texts_with_invisible_characters(tmp_path):
    rows = lines(6, writer=["Ann", "Bob", "Cid"] * 2, split=["train"] * 3 + ["validation", "test", "train"])
    rows.loc[0, "text"] = "so\u00adft"
    rows.to_parquet(tmp_path / "lines.parquet")
    convert(str(tmp_path / "lines.parquet"), tmp_path / "out", seed=7)
    card = (tmp_path / "out/README.md").read_text()
    assert "trained on: Ann: train, validation; Bob: train, test\n" in card
    assert "were removed from 1 texts" in card
