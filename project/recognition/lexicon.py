"""Which words a language has: a trie, as tables that beam search can ask about its whole beam at once.

A word is a run of letters; capitals count as small letters. The words of the trie are not enforced: a word outside of
it costs a penalty once, where its letters leave the trie, or where it ends too early (Graves et al. 2006, section 3.2,
call the hard form constrained decoding).
"""

import re
import zlib
from collections import Counter
from collections.abc import Iterable, Sequence

import numpy as np

from project.recognition.charset import BLANK, Charset

NO_LETTER = 0  # the class of everything that is not a letter, and of the blank
ROOT = 0  # the node between words


class Lexicon:
    """A trie over the letters of a charset. A node is a prefix of words; the last one, `outside`, is any that
    the lexicon lacks. Both tables are (nodes, letter classes): `successors[node, letter_class]`, and
    `unknown[node, letter_class]`, whether it is this step that makes a word an unknown one.

    `class_of_label` (C,) is the letter class of each label.
    """

    def __init__(self, words: Sequence[str], charset: Charset):
        self.words = tuple(words)
        small = [small_letter(character) for character in charset.characters]
        letters = {letter: number for number, letter in enumerate(sorted(set(small) - {""}), start=NO_LETTER + 1)}
        self.class_of_label = np.zeros(len(charset), int)
        self.class_of_label[BLANK + 1 :] = [letters.get(letter, NO_LETTER) for letter in small]

        branches, ends = build_trie(
            [[letters[letter] for letter in word] for word in words if letters.keys() >= set(word)]
        )
        self.outside = len(branches)
        self.successors = np.full((self.outside + 1, len(letters) + 1), self.outside, np.int32)
        for node, branch in enumerate(branches):
            self.successors[node, list(branch)] = list(branch.values())
        self.unknown = self.successors == self.outside
        self.unknown[self.outside] = False  # the word has been penalised
        self.successors[:, NO_LETTER] = ROOT
        self.unknown[:, NO_LETTER] = True  # a word ends here
        self.unknown[[ROOT, *ends, self.outside], NO_LETTER] = False

    @classmethod
    def from_texts(cls, texts: Iterable[str], charset: Charset, least: int = 1) -> "Lexicon":
        """Collect the words that occur `least` times or more."""
        counts = Counter(word for text in texts for word in words_of(text))
        return cls(sorted(word for word, count in counts.items() if count >= least), charset)

    def to_bytes(self) -> np.ndarray:
        """Return the words, compressed, as uint8 (bytes,)."""
        return np.frombuffer(zlib.compress("\n".join(self.words).encode(), 9), np.uint8)

    @classmethod
    def from_bytes(cls, compressed: np.ndarray, charset: Charset) -> "Lexicon":
        """Return the lexicon that `to_bytes` wrote, for its charset."""
        return cls(zlib.decompress(compressed.tobytes()).decode().split("\n"), charset)


def small_letter(character: str) -> str:
    """Return the small form of a letter; "" for what is not a letter, or is more than one in small."""
    small = character.lower()
    return small if small.isalpha() and len(small) == 1 else ""


def words_of(text: str) -> list[str]:
    """Return the words of a text, runs of letters, in small letters."""
    return re.findall(r"[^\W\d_]+", text.lower())


def build_trie(words: Iterable[Sequence[int]]) -> tuple[list[dict[int, int]], list[int]]:
    """Build a trie of words, each a row of letter classes. Returns the branches of each node, the node that each letter
    leads to, and the nodes in which a word ends; node 0 is the root.
    """
    branches: list[dict[int, int]] = [{}]
    ends = []
    for word in words:
        node = ROOT
        for letter in word:
            if letter not in branches[node]:
                branches[node][letter] = len(branches)
                branches.append({})
            node = branches[node][letter]
        ends.append(node)
    return branches, ends
