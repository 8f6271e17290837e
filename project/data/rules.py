"""How the texts and lines of a data set are taken: what is removed, mapped or left out, and how often.

Editorial marks, as in the Leiden conventions and the guidelines of Transkribus, say something of the ink and are not
in it themselves: a network that is trained on them learns to guess.
"""

import re
from collections import Counter
from collections.abc import Iterable, Iterator
from typing import NamedTuple

from project.data.rows import Row
from project.errors import InputError
from project.recognition.charset import has_invisible, normalize

MARKS = ("keep", "map", "leave_out")  # what may be done with editorial marks


class Mark(NamedTuple):
    """An editorial mark: its name, how it is written, and what of it is in the ink (None: something else is)."""

    name: str
    pattern: re.Pattern
    ink: str | None


EDITORIAL = (
    Mark("gap […]", re.compile(r"[\[⟦⟨<]\s*(?:…|\.{2,}|\?+|-{2,}|gap|illegible|unclear)?\s*[\]⟧⟩>]"), None),
    Mark("tag <x>…</x>", re.compile(r"<(\w+)[^<>]*>(.*?)</\1\s*>"), r"\2"),
    Mark("deleted ⟦…⟧", re.compile(r"⟦(.*?)⟧|\[\[(.*?)\]\]"), r"\1\2"),
    Mark("added or unclear <…>", re.compile(r"<([^<>]*)>|⟨([^⟨⟩]*)⟩"), r"\1\2"),
    Mark("hyphen ¬", re.compile("¬"), "-"),
)


class Rules(NamedTuple):
    """How the lines of a data set are taken.

    marks: one of `MARKS`. "map" writes what is in the ink: the content of brackets, a hyphen for ¬; a line with a gap
    is left out, because nobody knows what is in it. left_out_types: types of lines as PAGE or ALTO name them.
    writer: whose hand a line is, in formats that do not say it: see `folders.name_hands`.
    """

    marks: str = "keep"
    left_out_types: frozenset[str] = frozenset()
    writer: str = "auto"


def check_marks(marks: str) -> None:
    """Raise InputError if `marks` is none of `MARKS`."""
    if marks not in MARKS:
        raise InputError(f"marks: {marks!r} is none of {', '.join(MARKS)}")


def apply_rules(rows: Iterable[Row], rules: Rules, counts: Counter | None = None) -> Iterator[Row]:
    """Yield the rows with normalised texts; one that the rules leave out has an error.

    counts: how many rows have invisible characters, each editorial mark, and each type of line, is added to it.
    """
    check_marks(rules.marks)
    counts = Counter() if counts is None else counts
    for row in rows:
        if has_invisible(row.text):
            counts["invisible characters"] += 1
        text = normalize(row.text)
        marks = find_marks(text)
        counts.update(f"mark: {mark.name}" for mark in marks)
        error = row.error
        if rules.marks == "leave_out" and marks:
            error = error or f"left out for its editorial mark: {marks[0].name}"
        elif rules.marks == "map":
            text, error = map_marks(text), error or left_out_for_a_gap(marks)
        types = [name.strip() for name in row.line_type.split(",") if name.strip()]
        counts.update(f"type: {name}" for name in types)
        if left_out := [name for name in types if name in rules.left_out_types]:
            error = error or f"left out for its type: {left_out[0]}"
        yield row._replace(text=text, error=error, image=None if error else row.image)


def find_marks(text: str) -> list[Mark]:
    """Return the editorial marks in a text, each once."""
    found = []
    for mark in EDITORIAL:
        if mark.pattern.search(text):
            found.append(mark)
            text = mark.pattern.sub(mark.ink or "", text)  # what is inside of it may have marks too
    return found


def map_marks(text: str) -> str:
    """Return what is in the ink of a text with editorial marks."""
    for mark in EDITORIAL:
        if mark.ink is not None:
            text = mark.pattern.sub(mark.ink, text)
    return normalize(text)


def left_out_for_a_gap(marks: list[Mark]) -> str:
    """Return the error of a line with a mark that stands for unknown ink; "" if it has none."""
    return next((f"left out for its editorial mark: {mark.name}" for mark in marks if mark.ink is None), "")
