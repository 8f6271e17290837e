"""English worth writing by hand: what is in it, and that no text is in two splits."""

import string

import pytest

from project.data.rows import SPLITS
from project.data.texts import MAX_LENGTH, PROSE, line_texts, works_of


def test_no_text_is_in_two_splits_in_capitals_or_not_whatever_the_seed_and_the_count():
    train, validation, test = (
        {text.casefold() for text in line_texts(split, count, seed)}
        for split, count, seed in (("train", 3000, 1), ("validation", 500, 2), ("test", 700, 1))
    )
    assert not train & validation
    assert not train & test
    assert not validation & test


def test_no_work_of_prose_is_in_two_splits_and_every_work_is_in_one():
    works = [" ".join(work) for split in SPLITS for work in works_of(split)]
    headings = [line for line in PROSE.read_text().splitlines() if line.startswith("# ")]
    assert len(works) == len(set(works)) == len(headings)


def test_every_printable_ascii_character_can_be_learnt_and_is_asked_for():
    train, validation, test = (
        "".join(line_texts(split, count, 0)) for split, count in (("train", 3000), ("validation", 500), ("test", 500))
    )
    assert set(train) == set(validation) == set(test) == set(string.printable[:95])
    assert min(train.count(character) for character in string.printable[:95]) >= 24


def test_lines_are_different_short_as_well_as_long_and_without_outer_spaces():
    texts = line_texts("train", 2000, 0)
    lengths = [len(text) for text in texts]
    assert len(set(texts)) == 2000
    assert 1 <= min(lengths) <= 2
    assert 50 < max(lengths) <= MAX_LENGTH
    assert all(text == " ".join(text.split()) for text in texts)


def test_the_same_seed_gives_the_same_texts_and_another_seed_gives_others():
    assert line_texts("test", 50, 0) == line_texts("test", 50, 0)
    assert line_texts("test", 50, 0) != line_texts("test", 50, 1)


def test_errors_name_what_was_given_and_what_is_allowed():
    with pytest.raises(ValueError, match=r"'dev'.*train, validation, test"):
        line_texts("dev", 1, 0)
    with pytest.raises(ValueError, match="'test' was to have -1"):
        line_texts("test", -1, 0)
