"""How texts and lines are taken: invisible characters, editorial marks, types of lines, and whose hand it is."""

from collections import Counter
from pathlib import Path

import pytest

from project.data.folders import name_hands
from project.data.rows import Row
from project.data.rules import Rules, apply_rules


def taken(text, **rules):
    """The text of a row under some rules, and its error."""
    (row,) = apply_rules([Row(b"picture", text)], Rules(**rules))
    assert (row.image is None) == bool(row.error)
    return row.text, row.error


@pytest.mark.parametrize(
    ("text", "ink"),
    [
        ("a ⟦struck⟧ word", "a struck word"),
        ("an <added> word", "an added word"),
        ("a <del>struck</del> word", "a struck word"),
        ("to be conti¬", "to be conti-"),
        ("no mark [at all], 1 < 2", "no mark [at all], 1 < 2"),
    ],
)
def test_editorial_marks_are_kept_or_mapped_to_what_is_in_the_ink(text, ink):
    assert taken(text) == (text, "")
    assert taken(text, marks="map") == (ink, "")
    assert bool(taken(text, marks="leave_out")[1]) == (text != ink)


@pytest.mark.parametrize("gap", ["[…]", "[...]", "⟦…⟧", "[??]", "[illegible]"])
def test_a_line_of_whose_ink_a_part_is_not_known_is_not_mapped_but_left_out(gap):
    assert taken(f"the {gap} end") == (f"the {gap} end", "")
    assert taken(f"the {gap} end", marks="map")[1] == "left out for its editorial mark: gap […]"


def test_a_rule_that_there_is_not_is_named_with_those_there_are():
    with pytest.raises(ValueError, match="marks: 'drop' is none of keep, map, leave_out"):
        taken("a", marks="drop")


def test_what_is_found_is_counted_by_kind():
    counts = Counter()
    rows = [Row(b"", "so\u00adft"), Row(b"", "conti¬"), Row(b"", "a ⟦b⟧ c¬", line_type="print,margin"), Row(b"", "d")]
    left = [row.error for row in apply_rules(rows, Rules(left_out_types=frozenset({"print"})), counts)]
    assert left == ["", "", "left out for its type: print", ""]
    assert counts == {
        "invisible characters": 1,
        "mark: hyphen ¬": 2,
        "mark: deleted ⟦…⟧": 1,
        "type: print": 1,
        "type: margin": 1,
    }


def hands(rule, *names):
    paths = [Path("set", name) for name in names]
    return list(name_hands(paths, Path("set"), rule, page=lambda path: path).values())


def test_folders_of_several_pages_each_are_hands():
    assert hands("auto", "anna/1.xml", "anna/2.xml", "bert/1.xml", "bert/2.xml") == ["anna", "anna", "bert", "bert"]
    assert hands("auto", "train/anna/page/1.xml", "train/anna/page/2.xml") == ["", ""]  # one folder tells nothing
    assert hands("auto", "1/a.xml", "2/a.xml") == ["", ""]  # a folder for each page
    assert hands("auto", "anna/1.xml", "anna/2.xml", "bert/1.xml", "bert/2.xml", "3.xml") == [""] * 5


def test_hands_are_named_by_a_parameter():
    names = "train/w01-p1.xml", "test/w02-p1.xml"
    assert hands("folder", "test/anna/alto/1.xml", "2.xml") == ["anna", ""]
    assert hands("none", "anna/1.xml", "anna/2.xml", "bert/1.xml", "bert/2.xml") == [""] * 4
    assert hands(r"w\d+", *names) == ["w01", "w02"]
    assert hands(r"w(\d+)-", *names, "3.xml") == ["01", "02", ""]
    with pytest.raises(ValueError, match=r"writer: '\(' is not auto, folder, none or a regular expression"):
        hands("(", *names)
