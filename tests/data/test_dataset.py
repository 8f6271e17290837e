"""From rows to lines that CTC can learn from; the last tests read the real data sets, where they are."""

import io
import string
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image, ImageDraw

from project.data.dataset import check, frames_needed, is_made, usable_lines, widths_of
from project.data.line_cache import line_images
from project.data.rows import SPLITS, Row, of_split
from project.data.splits import fingerprint
from project.recognition.batch import FRAME_WIDTH
from project.recognition.charset import Charset
from project.recognition.image import read_image
from project.recognition.line_image import normalize_line
from tests.rows import read_data_set

CHARSET = Charset("ab")  # a is 1, b is 2
HEIGHT = 32
REAL_DATA = Path(__file__).parents[3] / "shared" / "data"


def png():
    """A zigzag of ink on paper."""
    picture = Image.new("L", (160, 48), 235)
    ImageDraw.Draw(picture).line([(10, 8), (40, 40), (70, 8), (110, 40), (150, 8)], fill=30, width=4)
    file = io.BytesIO()
    picture.save(file, "PNG")
    return file.getvalue()


def rows_of(*pictures_and_texts):
    rows = [(image, text, f"lines.csv:{row}") for row, (image, text) in enumerate(pictures_and_texts, start=1)]
    return pd.DataFrame(rows, columns=["image", "text", "source"])


@pytest.mark.parametrize(
    ("text", "frames"),
    [
        ("", 0),
        ("a", 1),
        ("ab", 2),  # a b
        ("aa", 3),  # a blank a: without the blank, CTC reads one a
        ("aab", 4),  # a blank a b
        ("aaa", 5),  # a blank a blank a
        ("abab", 4),  # no letter beside its like
    ],
)
def test_a_label_needs_a_frame_and_a_repeat_a_blank_before_it(text, frames):
    assert frames_needed(CHARSET.encode(text)) == frames


def usable(rows, charset=CHARSET, split="train"):
    return usable_lines(
        split, rows, line_images(map(Row, rows["image"], rows["text"]), rows["image"].map(fingerprint), HEIGHT), charset
    )


def test_a_line_is_the_line_image_of_its_picture_its_text_and_its_labels(tmp_path):
    path = tmp_path / "a.png"
    path.write_bytes(png())
    lines, _ = usable(rows_of((png(), "abba"), (b"", "ab"), (str(path), "abba")))
    for line in lines:
        assert line.image.dtype == np.uint8
        assert line.image.shape[:2] == (1, HEIGHT)
        assert line.image.min() == 0  # paper
        assert line.image.max() > 240  # ink
        assert np.array_equal(line.image, normalize_line(read_image(png()), HEIGHT))
        assert line.text == "abba"
        assert line.labels == [1, 2, 2, 1]
    assert list(lines.widths) == list(widths_of(list(lines))) == [line.image.shape[2] for line in lines]
    assert len(lines) == 2


def test_a_line_with_just_the_frames_that_it_needs_is_used_and_with_one_less_is_not():
    one_frame, two_frames = FRAME_WIDTH, FRAME_WIDTH + 1  # the second frame has one pixel of the picture
    check(one_frame, "a", CHARSET)
    check(two_frames, "ab", CHARSET)
    with pytest.raises(ValueError, match="too narrow for its text: 1 frames, but CTC needs 2"):
        check(one_frame, "ab", CHARSET)
    with pytest.raises(ValueError, match="too narrow for its text: 2 frames, but CTC needs 3"):
        check(two_frames, "aa", CHARSET)


def test_rows_that_cannot_be_used_are_listed_with_the_reason_and_the_rest_is_used(tmp_path):
    rows = rows_of(
        (png(), "ab"),
        (b"no picture", "ab"),
        (png()[:-60], "ab"),
        (b"", "ab"),
        (str(tmp_path / "gone.png"), "ab"),
        (str(tmp_path), "ab"),
        (png(), ""),
        (png(), "abc, a"),
        (png(), "ab" * 100),
        (png(), "ba"),
    )
    lines, rejected = usable(rows)
    assert [line.text for line in lines] == ["ab", "ba"]
    assert list(rejected.columns) == ["source", "text", "reason"]
    assert list(rejected["source"]) == [f"lines.csv:{row}" for row in range(2, 10)]
    assert list(rejected["text"]) == ["ab"] * 5 + ["", "abc, a", "ab" * 100]
    reasons = [
        "not a picture",
        "cannot be read as a picture",
        "not a picture",
        "gone.png: no such file",
        "cannot be read as a picture",
        "the text is empty",
        "characters outside the charset: ' ,c' in 'abc, a'",
        "but CTC needs 200",
    ]
    for expected, reason in zip(reasons, rejected["reason"], strict=True):
        assert expected in reason


def test_when_every_row_can_be_used_the_list_is_empty():
    lines, rejected = usable(rows_of((png(), "ab"), (png(), "b")))
    assert len(lines) == 2
    assert rejected.empty


def test_when_no_row_can_be_used_the_first_reason_is_told():
    rows = rows_of((png(), ""), (b"no picture", "ab"))
    told = r"none of the 2 rows of the split train .*, the first because: lines\.csv:1: the text is empty"
    with pytest.raises(ValueError, match=told):
        usable(rows)
    with pytest.raises(ValueError, match=r"none of the 0 rows of the split train can be used$"):
        usable(rows[:0])


def test_a_training_does_not_need_test_lines_that_could_be_trained_on():
    lines, rejected = usable(rows_of((png(), "c"), (png(), "cd")), split="test")  # letters that training never saw
    assert len(lines) == 0
    assert list(lines.widths) == list(lines.lengths) == []
    assert len(rejected) == 2
    for unreadable in ((png(), ""), (b"no picture", "ab")):
        with pytest.raises(ValueError, match=r"none of the 1 rows of the split test can be used, the first because"):
            usable(rows_of(unreadable), split="test")


@pytest.mark.skipif(not REAL_DATA.is_dir(), reason=f"the real data sets are not at {REAL_DATA}")
@pytest.mark.parametrize(
    ("name", "lines", "writers"),  # train, validation, test, as the data sets' README.md has them
    [
        ("unipen", (3485, 171, 274), (176, 14, 24)),
        ("copiste", (3704, 363, 635), (158, 14, 27)),
        ("bench-synthetic", (4000, 400, 200), None),
    ],
)
def test_a_real_data_set_has_its_lines_and_writers_and_its_first_rows_can_be_used(name, lines, writers):
    rows = read_data_set(REAL_DATA / name)
    splits = [of_split(rows, split) for split in SPLITS]
    assert tuple(map(len, splits)) == lines
    if writers:
        assert tuple(split["writer"].nunique() for split in splits) == writers
        assert rows["writer"].nunique() == sum(writers)  # no writer is in two splits
    charset = Charset.from_texts([string.printable[:95], *rows["text"]])
    for split in splits:
        lines, rejected = usable(split[:5].reset_index(), charset)
        assert len(lines) == 5, rejected.to_string()


@pytest.mark.parametrize(
    ("name", "made"),
    [
        ("synthetic", True),
        ("synthetic:fonts:texts", True),
        ("stitched:hf:owner/words", True),
        ("synthetic.csv", False),
        ("synthetic-lines/train.parquet", False),
        ("synthetic:fonts", False),
    ],
)
def test_only_a_data_set_with_the_whole_form_of_a_made_one_is_made(name, made):
    assert is_made(name) == made
