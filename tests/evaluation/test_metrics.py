import pytest

from project.evaluation import metrics


def test_kitten_to_sitting_takes_three_edits():
    # k -> s, e -> i, + g
    assert metrics.total_edits(["kitten"], ["sitting"]) == 3
    assert metrics.cer(["kitten"], ["sitting"]) == 3 / 6


def test_rates_are_summed_over_the_set_before_dividing():
    # line by line: 1/1 and 0/9, a mean of 50 %; over the set: 1 edit in 10 characters
    assert metrics.cer(["a", "bcdefghij"], ["x", "bcdefghij"]) == 1 / 10
    # words: 1 of 1 wrong, 0 of 3 wrong
    assert metrics.wer(["a", "b c d"], ["x", "b c d"]) == 1 / 4


def test_words_keep_their_punctuation():
    assert metrics.wer(["Well, yes."], ["Well yes."]) == 1 / 2


def test_more_errors_than_characters_give_a_rate_above_one():
    assert metrics.cer(["a"], ["xyz"]) == 3


def test_edit_distance_is_averaged_over_lines():
    assert metrics.average_edit_distance(["ab", "cd"], ["ab", "xy"]) == 1


def test_references_and_predictions_come_in_pairs():
    with pytest.raises(ValueError, match="2 references, but 1 predictions"):
        metrics.cer(["a", "b"], ["a"])


def test_a_rate_needs_something_to_divide_by():
    with pytest.raises(ValueError, match="at least one reference"):
        metrics.cer([""], ["a"])


def test_confusions_count_substitutions_deletions_and_insertions():
    table = metrics.confusions(["cat", "cot", "a b", "ab", "a"], ["cut", "cut", "abc", "a", "ab"])
    counted = {(row.written, row.read): row.times for row in table.itertuples()}
    assert counted == {("a", "u"): 1, ("o", "u"): 1, (" ", "b"): 1, ("b", "c"): 1, ("b", ""): 1, ("", "b"): 1}


@pytest.mark.parametrize(
    ("text", "reading", "right"),
    [
        ("cat", "cut", [True, False, True]),
        ("cat", "caat", [True, True, True, False]),
        ("cat", "ct", [True, True]),
        ("", "a", [False]),
        ("cat", "", []),
    ],
)
def test_a_character_is_right_where_it_stands_in_what_is_written(text, reading, right):
    assert sorted(metrics.right_characters(text, reading)) == sorted(right)
    assert len(metrics.right_characters(text, reading)) == len(reading)
