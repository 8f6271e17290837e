"""Which texts a language model is made of, and which language a text is taken to be in."""

import numpy as np
import pytest

from project.recognition.charset import Charset
from project.recognition.decoding import LanguageModel, LanguageModels
from project.training import languages

FRENCH = ["le chat est sur la table", "la table est dans le jardin", "le jardin est grand"] * 2
ENGLISH = ["the cat is on the table", "the table is in the garden", "the garden is large"] * 2
CHARSET = Charset.from_texts([*FRENCH, *ENGLISH])


def test_without_prose_there_is_an_n_gram_for_each_order_and_no_lexicon():
    models = list(languages.candidates(FRENCH, {}, CHARSET))
    assert [model.ngram.order for model in models] == list(languages.ORDERS)
    assert not any(map(languages.has_lexicon, models))


def test_a_charset_that_is_too_large_for_the_highest_orders_has_the_others():
    charset = Charset("".join(map(chr, range(0x4E00, 0x4E00 + 1500))))
    models = languages.candidates(["\u4e00\u4e01\u4e02"], {}, charset)
    assert max(model.ngram.order for model in models) < max(languages.ORDERS)


def test_transcriptions_are_sorted_by_the_language_that_they_are_most_probable_in():
    texts = ["the large table", "le grand jardin", "the \u20ac"]
    found = languages.by_language(texts, {"french": FRENCH, "english": ENGLISH}, CHARSET)
    assert found == {"french": ["le grand jardin"], "english": ["the large table", "the \u20ac"]}


def test_with_prose_each_language_has_an_n_gram_and_a_lexicon_of_it_and_of_its_transcriptions():
    (both,) = languages.candidates(
        ["le gris"], {"french": FRENCH, "english": ENGLISH}, Charset.from_texts([*FRENCH, *ENGLISH, "gris"])
    )
    assert both.by_language.keys() == {"french", "english"}
    assert "gris" in both.by_language["french"].lexicon.words
    assert "gris" not in both.by_language["english"].lexicon.words
    assert languages.has_lexicon(both)


def test_a_line_is_as_probable_as_in_its_most_probable_language():
    prose = {"french": FRENCH, "english": ENGLISH}
    (both,) = languages.candidates([], prose, CHARSET)
    labels = CHARSET.encode("the garden")
    assert both.log_prob(labels) == both.by_language["english"].ngram.log_prob(labels)


def test_all_languages_get_the_same_weights():
    (both,) = languages.candidates([], {"french": FRENCH, "english": ENGLISH}, CHARSET)
    one = both.by_language["french"]
    for language in (both, one):
        weighted = languages.with_weights(language, weight=0.25, penalty=2.0)
        models = weighted.by_language.values() if isinstance(weighted, LanguageModels) else [weighted]
        assert all((model.weight, model.bonus, model.penalty) == (0.25, 0, 2.0) for model in models)
    assert isinstance(languages.with_weights(one, bonus=1.0), LanguageModel)


def test_prose_is_read_by_file_and_broken_into_lines_at_its_spaces(tmp_path):
    paragraph = " ".join(["word"] * 100)
    (tmp_path / "english.txt").write_text(f"{paragraph}\n\nAnother one.\n")
    (tmp_path / "french.txt").write_text("Un autre.")
    prose = languages.read_prose(tmp_path)
    assert prose.keys() == {"english", "french"}
    assert " ".join(prose["english"]) == f"{paragraph} Another one."
    assert max(map(len, prose["english"])) <= max(languages.LINE)
    assert languages.read_prose(tmp_path / "french.txt") == {"french": ["Un autre."]}


@pytest.mark.parametrize("content", [None, b"", "caf\u00e9".encode("latin-1")])
def test_prose_that_cannot_be_read_is_refused(tmp_path, content):
    path = tmp_path / "a.txt"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(ValueError, match=r"neither a text file|is empty|not UTF-8"):
        languages.read_prose(path)


def test_a_word_longer_than_a_line_is_a_line():
    assert list(languages.break_lines("a" * 200, np.random.default_rng(0))) == ["a" * 200]
