"""Words of one writer become a line: on paper first, where a word is a black box."""

import io

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest
from PIL import Image

from project.data import stitching
from project.data.dataset import load_data


def box(width, height=64):
    return np.zeros((height, width), np.uint8)


def encoded(picture):
    file = io.BytesIO()
    Image.fromarray(picture).save(file, "PNG")
    return {"bytes": file.getvalue(), "path": None}


@pytest.fixture
def words(tmp_path):
    texts = ["the", "cat", "sat", "on", "gym", "mat", "1999", "Ann", ".", "two words"]
    rows = [(text, writer) for writer in ("ada", "bob") for text in texts] + [("lonely", "cyd")]
    table = pd.DataFrame(rows, columns=["text", "writer"])
    table["image"] = [encoded(box(20 * len(text))) for text in table["text"]]
    table.to_parquet(tmp_path / "words.parquet")
    return str(tmp_path / "words.parquet")


def test_a_word_is_as_high_as_its_letters_ask_and_stands_on_the_line():
    # Heights in x: "sun" 1; "but" 1 and an ascender, 1.95; "gym" 1 and a descender, 1.8; "fog" both, 2.75.
    heights = {}
    for text in ("sun", "but", "gym", "fog"):
        sizes = [stitching.sized(box(60), text, 20, np.random.default_rng(seed)) for seed in range(200)]
        heights[text] = np.mean([len(picture) for picture, _ in sizes]) / 20
        assert np.mean([base for _, base in sizes]) / 20 == pytest.approx(
            1.95 if text in ("but", "fog") else 1, abs=0.05
        )
    assert heights == pytest.approx({"sun": 1, "but": 1.95, "gym": 1.8, "fog": 2.75}, abs=0.05)


def test_the_words_stand_side_by_side_with_paper_between_them():
    line = stitching.join_words([box(100), box(60), box(80)], ["but", "sun", "gym"], np.random.default_rng(0))
    inked = (line < 128).any(axis=0).astype(int)
    assert (np.diff(inked) == 1).sum() == 3
    assert not inked[[0, -1]].any()


def test_lines_hold_words_of_one_writer_who_has_enough_of_them(words, tmp_path):
    made = stitching.stitch(words, tmp_path / "cache", 20, seed=1)
    rows = pq.read_table(made / "train.parquet").to_pylist()
    assert len(rows) == 20
    assert {row["writer"] for row in rows} == {"ada", "bob"}
    for row in rows:
        assert stitching.FEWEST <= len(row["text"].split()) <= stitching.MOST
        assert "." not in row["text"].split()
    assert stitching.stitch(words, tmp_path / "cache", 20, seed=1) == made


def test_where_no_writer_has_enough_words_it_is_refused(words, tmp_path):
    few = pd.read_parquet(words).query("writer == 'cyd'")
    few.to_parquet(tmp_path / "few.parquet")
    with pytest.raises(ValueError, match="no writer with 8 words or more"):
        stitching.stitch(str(tmp_path / "few.parquet"), tmp_path, 5, seed=1)


def test_a_data_set_is_named_by_its_table_of_words(words, tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    data = load_data(f"stitched:{words}", words, height=16, seed=1, synthetic_lines={"train": 15})
    assert (data.rows["data"] != words).sum() == 15
