"""A lexicon of two words, its trie on paper; then what it does to a beam."""

import numpy as np
import pytest

from project.recognition.charset import Charset
from project.recognition.decoding import LanguageModel, LanguageModels, prefix_beam_search
from project.recognition.lexicon import ROOT, Lexicon, words_of
from project.recognition.ngram import NGram

CHARSET = Charset(" '-ABTabcté1")


def unknown_words(lexicon, text):
    """How many words the lexicon lacks, step by step, and the node at the end."""
    node, penalties = ROOT, 0
    for label in lexicon.class_of_label[CHARSET.encode(text)]:
        penalties += int(lexicon.unknown[node, label])
        node = lexicon.successors[node, label]
    return penalties, node


def test_the_trie_on_paper():
    # "at" and "ab" share their first node: root, a, at, ab; and one node for all that is outside.
    lexicon = Lexicon(["ab", "at"], CHARSET)
    assert lexicon.outside == 4
    assert lexicon.successors.shape == (5, 1 + len("abcté"))


@pytest.mark.parametrize(
    ("text", "lacking"),
    [
        ("at", 0), ("at ab", 0), ("At AB", 0), ("at-ab", 0), ("a", 0), ("a ", 1), ("ac", 1), ("accc ", 1), ("ata", 1),
        ("ca at ca ", 2), ("1 at 1", 0), ("  at", 0), ("é'at", 1), ("atat ab", 1),
    ],
)  # fmt: skip
def test_a_word_that_is_not_in_it_costs_once_where_it_leaves_it_and_the_last_may_go_on(text, lacking):
    assert unknown_words(Lexicon(["ab", "at"], CHARSET), text)[0] == lacking


def test_a_word_with_a_letter_outside_the_charset_is_left_out():
    assert unknown_words(Lexicon(["ab", "box"], CHARSET), "ab bb ")[0] == 1


def test_words_are_counted_in_small_letters_and_rare_ones_left_out():
    lexicon = Lexicon.from_texts(["At l'été, at", "AT bat"], CHARSET, least=2)
    assert lexicon.words == ("at",)
    assert words_of("L'Été d'1 an") == ["l", "été", "d", "an"]


def test_what_is_saved_comes_back_the_same():
    lexicon = Lexicon(["été", "ab"], CHARSET)
    loaded = Lexicon.from_bytes(lexicon.to_bytes(), CHARSET)
    assert loaded.words == lexicon.words
    assert np.array_equal(loaded.successors, lexicon.successors)
    assert np.array_equal(loaded.unknown, lexicon.unknown)


def written(*frames):
    """Log-probs (T, C): in each frame some characters, " " for the blank, with their probabilities."""
    probabilities = np.full((len(frames), len(CHARSET)), 1e-6)
    for row, frame in zip(probabilities, frames, strict=True):
        for character, probability in frame.items():
            row[0 if character == "_" else CHARSET.encode(character)[0]] = probability
    return np.log(probabilities / probabilities.sum(axis=1, keepdims=True)).astype(np.float32)


LINE = written({"a": 1}, {"c": 0.55, "t": 0.45}, {" ": 1}, {"b": 1})


@pytest.mark.parametrize(("penalty", "text"), [(0.0, "ac b"), (3.0, "at b")])
def test_the_beam_prefers_words_of_the_lexicon(penalty, text):
    ngram = NGram.from_texts(["b"], CHARSET, order=1)
    language = LanguageModel(ngram, 0.0, 0.0, Lexicon(["at", "b"], CHARSET), penalty)
    (labels, score), *_ = prefix_beam_search(LINE, language=language)
    assert CHARSET.decode(labels) == text
    assert score == pytest.approx(np.log(0.45 if penalty else 0.55), abs=1e-3)


def test_a_line_is_read_in_the_language_that_it_is_most_probable_in():
    models = {
        name: LanguageModel(NGram.from_texts([text], CHARSET, order=3), 0.5, 1.0)
        for name, text in (("one", "at at at"), ("other", "bé bé bé"))
    }
    line = written(*({character: 1.0} for character in "bé"))
    assert LanguageModels(models).for_line(line) is models["other"]
    assert models["one"].for_line(line) is models["one"]
