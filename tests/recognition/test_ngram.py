"""On paper first, then against a slow n-gram of dictionaries that shares no code with ours."""

import itertools
from collections import Counter, defaultdict

import numpy as np
import pytest

from project.recognition import ngram
from project.recognition.charset import Charset
from project.recognition.ngram import NGram

TEXTS = ["the cat sat on the mat", "the hat", "a cat", "that cat, the fat cat", "e", "tea"]
CHARSET = Charset.from_texts(TEXTS)


def slow_kneser_ney(texts, order):
    """P(next | context) by the book: Chen and Goodman 1998, equation 25; "$" is both ends of a line."""
    grams = [Counter() for _ in range(order + 1)]
    for text in texts:
        line = f"${text}$"
        for stop in range(2, len(line) + 1):
            for length in range(1, min(order, stop) + 1):
                grams[length][line[stop - length : stop]] += 1
    before = defaultdict(set)
    for length in range(2, order + 1):
        for gram in grams[length]:
            before[gram[1:]].add(gram[0])

    def count(gram):
        inner = len(gram) < order and (gram == "$" or not gram.startswith("$"))
        return len(before[gram]) if inner else grams[len(gram)][gram]

    def discount(length):
        counts = Counter(count(gram) for gram in grams[length])
        return (counts[1] + 1) / (counts[1] + 2 * counts[2] + 2)

    def probability(following, context, classes):
        shorter = probability(following, context[1:], classes) if context else 1 / classes
        own = [gram for gram in grams[len(context) + 1] if gram[:-1] == context]
        if not own:
            return shorter
        total, d = sum(map(count, own)), discount(len(context) + 1)
        seen = context + following
        return (max(count(seen) - d, 0) if seen in own else 0) / total + d * len(own) / total * shorter

    return probability


def test_a_bigram_on_paper():
    # Lines $a$ and $b$: each of $a, $b, a$, b$ was seen once, so the discount of bigrams is (4 + 1) / (4 + 2) = 5/6.
    # Unigrams: a and b follow one character each ($), $ follows two: counts 1, 1, 2; discount (2+1) / (2+2+2) = 1/2.
    # P(a) = (1 - 1/2)/4 + (1/2 * 3)/4 * 1/3 = 1/4. P(a | $) = (1 - 5/6)/2 + (5/6 * 2)/2 * P(a) = 1/12 + 5/24 = 7/24.
    model = NGram.from_texts(["a", "b"], Charset("ab"), order=2)
    assert np.exp(model.log_probs[model.start, 1]) == pytest.approx(7 / 24)
    # P($) = (2 - 1/2)/4 + 3/8 * 1/3 = 1/2. P($ | a) = (1 - 5/6)/1 + 5/6 * P($) = 1/6 + 5/12 = 7/12.
    assert np.exp(model.log_prob([1])) == pytest.approx(7 / 24 * 7 / 12)


@pytest.mark.parametrize("order", [1, 2, 3, 5])
def test_every_probability_is_what_the_book_says(order):
    model, probability = NGram.from_texts(TEXTS, CHARSET, order), slow_kneser_ney(TEXTS, order)
    for text in ("the cat", "tt, ", "a hat on a cat", ""):
        state = model.start
        for position, character in enumerate(text):
            expected = probability(character, f"${text[:position]}"[-order + 1 :] if order > 1 else "", len(CHARSET))
            assert np.exp(model.log_probs[state, CHARSET.encode(character)[0]]) == pytest.approx(expected, rel=1e-4)
            state = model.successors[state, CHARSET.encode(character)[0]]


def test_in_every_state_something_follows():
    model = NGram.from_texts(TEXTS, CHARSET, order=4)
    assert np.allclose(np.exp(model.log_probs).sum(axis=1), 1, atol=1e-5)


def test_all_short_lines_and_their_ends_are_as_probable_as_they_should_be():
    # The lines of at most 2 characters, and the starts of all others, are all there is.
    model = NGram.from_texts(["ab", "b", "aab"], Charset("ab"), order=3)
    total = sum(np.exp(model.log_prob(line)) for n in range(3) for line in itertools.product((1, 2), repeat=n))
    for line in itertools.product((1, 2), repeat=3):
        state, probability = model.start, 0.0
        for label in line:
            probability += model.log_probs[state, label]
            state = model.successors[state, label]
        total += np.exp(probability)
    assert total == pytest.approx(1, abs=1e-5)


def test_what_is_saved_comes_back_the_same():
    model = NGram.from_texts(TEXTS, CHARSET, order=4)
    loaded = NGram.from_tensors(model.tensors())
    assert np.array_equal(loaded.log_probs, model.log_probs)
    assert np.array_equal(loaded.successors, model.successors)
    assert (loaded.start, loaded.order) == (model.start, 4)


def test_what_earlier_versions_saved_uncompressed_is_read_too():
    model = NGram.from_texts(TEXTS, CHARSET, order=3)
    counts = model.counts
    tensors = {"classes": np.array(counts.classes), "discounts": counts.discounts}
    tensors |= {f"keys_{length}": keys for length, keys in enumerate(counts.keys, start=1)}
    tensors |= {f"counts_{length}": seen.astype(np.uint32) for length, seen in enumerate(counts.counts, start=1)}
    assert np.array_equal(NGram.from_tensors(tensors).log_probs, model.log_probs)


@pytest.mark.parametrize("numbers", [[0], [0, 1, 255, 256, 2**62, 2**63 - 1], [5, 5, 5]])
def test_compressed_numbers_come_back_the_same(numbers):
    assert ngram.decompress(ngram.compress(np.array(numbers))).tolist() == numbers


@pytest.mark.parametrize(("most", "number"), [("MAX_CONTEXTS", 20), ("MAX_CELLS", 20 * len(CHARSET))])
def test_rare_contexts_give_way_where_there_are_too_many(monkeypatch, most, number):
    monkeypatch.setattr(ngram, most, number)
    model = NGram.from_texts(TEXTS, CHARSET, order=4)
    assert 1 < len(model.log_probs) <= 20
    assert np.allclose(np.exp(model.log_probs).sum(axis=1), 1, atol=1e-5)
    assert model.log_prob(CHARSET.encode("the cat")) > model.log_prob(CHARSET.encode("eht tac"))


@pytest.mark.parametrize("texts", [["1", "2", "3"], ["12", "34", "7"]])
def test_an_order_that_no_line_fills_says_no_more_than_one_that_fits(texts):
    charset = Charset.from_texts(texts)
    short, long = (NGram.from_texts(texts, charset, order) for order in (4, 6))
    assert long.log_prob(charset.encode(texts[0])) == pytest.approx(short.log_prob(charset.encode(texts[0])))


def test_characters_outside_the_charset_are_left_out():
    few = Charset("acht ")
    model = NGram.from_texts(["the c~at", "~"], few, order=3)
    assert np.array_equal(model.log_probs, NGram.from_texts(["th cat"], few, order=3).log_probs)


def test_nothing_to_count_is_refused():
    with pytest.raises(ValueError, match="at least one text"):
        NGram.from_texts(["", "~"], CHARSET, order=3)


def test_an_order_that_no_number_can_hold_is_refused():
    with pytest.raises(ValueError, match="order must be from 1 to 17 with 13 classes, got 19"):
        NGram.from_texts(TEXTS, CHARSET, order=19)
