"""The order of letters in ink and in text: lines of scripts that run from right to left.

A network reads from left to right what is in the ink (visual order); a text has its letters as they are spoken (logical
order). The Unicode bidirectional algorithm (UAX 9) turns one into the other, both by python-bidi.
"""

import re
import unicodedata
from collections.abc import Iterable

from bidi.algorithm import get_display

RIGHT_TO_LEFT = ("R", "AL")  # bidirectional classes of letters: Hebrew and its like, Arabic and its like
# What runs to the right in any line: numbers, and after letters that are not Arabic dates as well
NUMBERS = (re.compile(r"\d+(?:[.,:]\d+)*"), re.compile(r"\d+(?:[.,:/-]\d+)*"))


def has_right_to_left(characters: Iterable[str]) -> bool:
    """Return whether there is a letter of a script that runs from right to left."""
    return any(unicodedata.bidirectional(character) in RIGHT_TO_LEFT for character in characters)


def visual_order(text: str) -> str:
    """Return the characters of a text in logical order as they stand in the ink, from left to right."""
    return get_display(text, base_dir=_base_direction(text)) if has_right_to_left(text) else text


def logical_order(text: str) -> str:
    """Return the text whose characters stand so in the ink: the inverse of `visual_order`.

    The algorithm is its own inverse but for rows of numbers beside letters, where it is enough to turn the line around
    and its numbers back. Where texts of both directions are nested with numbers, several may look the same.
    """
    if not has_right_to_left(text):
        return text
    likely = get_display(text, base_dir=_base_direction(text))
    turned = [number.sub(lambda found: found[0][::-1], text[::-1]) for number in NUMBERS]
    return next((one for one in (likely, *turned) if visual_order(one) == text), likely)


def logical_positions(text: str) -> list[int]:
    """Return for each character of `logical_order(text)` where it is in `text`, which is in visual order.

    Of equal characters the one nearest to where a turned line has it is taken.
    """
    if not has_right_to_left(text):
        return list(range(len(text)))
    is_turned = _base_direction(text) == "R"
    left, positions = set(range(len(text))), []
    for index, character in enumerate(logical_order(text)):
        expected = len(text) - 1 - index if is_turned else index
        same = [at for at in left if text[at] == character] or list(left)  # a bracket is mirrored
        positions.append(min(same, key=lambda at: abs(at - expected)))
        left.remove(positions[-1])
    return positions


def _base_direction(text: str) -> str:
    """Return the direction of a line, "R" or "L": that of most of its letters, the same in both orders."""
    classes = [unicodedata.bidirectional(character) for character in text]
    return "R" if sum(one in RIGHT_TO_LEFT for one in classes) >= classes.count("L") else "L"
