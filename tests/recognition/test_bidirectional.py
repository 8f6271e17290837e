"""Lines that run from right to left: the order of their letters in ink and in text."""

import pytest

from project.recognition.bidirectional import logical_order, logical_positions, visual_order
from project.recognition.charset import Charset

SHALOM = "\u05e9\u05dc\u05d5\u05dd"  # shin, lamed, vav, final mem: the first stands at the right
MARHABA = "\u0645\u0631\u062d\u0628\u0627"


@pytest.mark.parametrize(
    ("text", "ink"),
    [
        ("abc 12", "abc 12"),
        (SHALOM, SHALOM[::-1]),
        (f"{SHALOM} 12", f"12 {SHALOM[::-1]}"),  # a number runs to the right
        (f"{SHALOM}, 3.50!", f"!3.50 ,{SHALOM[::-1]}"),
        (f"({SHALOM})", f"({SHALOM[::-1]})"),  # brackets open to the other side
        (f"he said {SHALOM} twice", f"he said {SHALOM[::-1]} twice"),
        (f"{MARHABA} 2024-05-01", f"01-05-2024 {MARHABA[::-1]}"),  # a date beside Arabic letters
        (f"2024-05-01 {MARHABA}", f"{MARHABA[::-1]} 2024-05-01"),
    ],
)
def test_text_is_turned_into_the_order_of_the_ink_and_back(text, ink):
    assert visual_order(text) == ink
    assert logical_order(ink) == text


def test_the_labels_of_a_line_follow_the_ink_from_left_to_right_and_its_text_comes_back():
    charset = Charset.from_texts([f"[{SHALOM}", " 12"])
    labels = charset.encode(f"[{SHALOM} 12")
    assert [charset.characters[label - 1] for label in labels] == list(f"12 {SHALOM[::-1]}]")
    assert charset.decode(labels) == f"[{SHALOM} 12"


def test_each_character_of_a_text_is_found_in_the_ink():
    ink = f"12 {SHALOM[::-1]}"
    assert logical_positions(ink) == [6, 5, 4, 3, 2, 0, 1]
    assert logical_positions("abc") == [0, 1, 2]
