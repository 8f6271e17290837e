"""Text <-> labels. Label 0 is CTC's blank, label k > 0 is the k-th character (Graves et al. 2006, section 3)."""

import unicodedata
from collections.abc import Iterable, Sequence

from project.errors import InputError

BLANK = 0


def normalize(text: str) -> str:
    """Return `text` in NFC, with one space for every run of white space and none at the ends: what ink can show."""
    return " ".join(unicodedata.normalize("NFC", text).split())


class Charset:
    """The characters that a recogniser can write, in label order.

    Raise InputError if a character comes twice, or if there is none.
    """

    def __init__(self, characters: str):
        if not characters or len(set(characters)) != len(characters):
            raise InputError(f"a charset needs each character once and at least one, got {characters!r}")
        self.characters = characters
        self._label = {character: label for label, character in enumerate(characters, start=BLANK + 1)}

    @classmethod
    def from_texts(cls, texts: Iterable[str]) -> "Charset":
        """Collect the characters that occur in `texts`, in code point order."""
        return cls("".join(sorted(set().union(*texts))))

    def __len__(self) -> int:
        """Return the number of classes C of the network: the characters and the blank."""
        return len(self.characters) + 1

    def unknown(self, text: str) -> str:
        """Return the characters of `text` that have no label, each once."""
        return "".join(sorted(set(text) - self._label.keys()))

    def encode(self, text: str) -> list[int]:
        """Return labels in 1..C-1. Raise InputError that names the characters outside the charset."""
        if unknown := self.unknown(text):
            raise InputError(f"characters outside the charset: {unknown!r} in {text!r}")
        return [self._label[character] for character in text]

    def decode(self, labels: Sequence[int]) -> str:
        """Return the text of labels in 1..C-1, without blanks. Raise InputError that names a label out of range."""
        for label in labels:
            if not BLANK < label < len(self):
                raise InputError(f"label {label} is not one of 1..{len(self) - 1}")
        return "".join(self.characters[label - 1] for label in labels)
