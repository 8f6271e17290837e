"""Text <-> labels. Label 0 is CTC's blank, label k > 0 is the k-th character (Graves et al. 2006, section 3)."""

import re
import unicodedata
from collections.abc import Iterable, Sequence

from project.errors import InputError
from project.recognition.bidirectional import has_right_to_left, logical_order, visual_order

BLANK = 0
# Unicode's property Default_Ignorable_Code_Point (DerivedCoreProperties.txt), without what chooses letters' forms in
# Mongolian; and the marks of annotations
INVISIBLE = re.compile(
    "[\u00ad\u034f\u061c\u115f\u1160\u17b4\u17b5\u200b-\u200f\u202a-\u202e\u2060-\u206f\u3164\ufe00-\ufe0f\ufeff\uffa0"
    "\ufff0-\ufffb\U0001bca0-\U0001bca3\U0001d173-\U0001d17a\U000e0000-\U000e0fff]"
)
JOINERS = "\u200c\u200d"  # zero width non-joiner and joiner: they choose letters' forms, after some letters
VIRAMA = 9  # the combining class of the sign that joins letters in Indic scripts


def normalize(text: str) -> str:
    """Return what ink can show of `text`: in NFC, without invisible characters, with one space for every run of white
    space and none at the ends.
    """
    if has_invisible(text):
        text = "".join(character for at, character in enumerate(text) if not is_invisible(text, at))
    return " ".join(unicodedata.normalize("NFC", text).split())


def has_invisible(text: str) -> bool:
    """Return whether `normalize` removes characters of a text."""
    return not (text.isascii() and text.isprintable()) and any(is_invisible(text, at) for at in range(len(text)))


def is_invisible(text: str, at: int) -> bool:
    """Return whether the character of `text` at this place leaves no trace in ink.

    That are controls but for white space, and what Unicode calls ignorable. Joiners are kept where a script needs them:
    after a letter of Arabic and its kin, and after a virama (RFC 5892, appendix A).
    """
    character = text[at]
    if character in JOINERS:
        before = text[at - 1] if at else ""
        return not before or (unicodedata.combining(before) != VIRAMA and unicodedata.bidirectional(before) != "AL")
    if unicodedata.category(character) == "Cc":
        return not character.isspace()
    return bool(INVISIBLE.match(character))


class Charset:
    """The characters that a recogniser can write, in label order; texts are in logical order (UAX 9), labels in visual.

    Raise InputError if a character comes twice, or if there is none.
    """

    def __init__(self, characters: str):
        if not characters or len(set(characters)) != len(characters):
            raise InputError(f"a charset needs each character once and at least one, got {characters!r}")
        self.characters = characters
        self._has_right_to_left = has_right_to_left(characters)
        self._label = {character: label for label, character in enumerate(characters, start=BLANK + 1)}

    @classmethod
    def from_texts(cls, texts: Iterable[str]) -> "Charset":
        """Collect the characters that occur in `texts`, in code point order."""
        texts = list(texts)
        characters = set[str]().union(*texts)
        if has_right_to_left(characters):
            characters.update(*map(visual_order, texts))  # its brackets open to the other side
        return cls("".join(sorted(characters)))

    def __len__(self) -> int:
        """Return the number of classes C of the network: the characters and the blank."""
        return len(self.characters) + 1

    def unknown(self, text: str) -> str:
        """Return the characters of `text` that have no label, each once."""
        return "".join(sorted(set(text) - self._label.keys()))

    def encode(self, text: str) -> list[int]:
        """Return labels in 1..C-1, in the order of the ink from left to right.

        Raise InputError that names the characters outside the charset.
        """
        visual = visual_order(text) if self._has_right_to_left else text
        if unknown := self.unknown(visual):
            raise InputError(f"characters outside the charset: {unknown!r} in {text!r}")
        return [self._label[character] for character in visual]

    def decode(self, labels: Sequence[int]) -> str:
        """Return the text of labels in 1..C-1, without blanks. Raise InputError that names a label out of range."""
        for label in labels:
            if not BLANK < label < len(self):
                raise InputError(f"label {label} is not one of 1..{len(self) - 1}")
        text = "".join(self.characters[label - 1] for label in labels)
        return logical_order(text) if self._has_right_to_left else text
