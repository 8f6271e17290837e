"""On paper first, then against judges that know nothing of our code: all paths one by one, and torch's CTC loss."""

import itertools
from collections import defaultdict

import numpy as np
import pytest
import torch
from torch.nn.functional import ctc_loss

from project.recognition.alignment import log_probability
from project.recognition.charset import Charset
from project.recognition.decoding import LanguageModel, best_path, n_best, prefix_beam_search
from project.recognition.ngram import NGram

EVERYTHING = {"beam_width": 5000, "min_probability": 0, "max_labels": 1000}  # a beam that drops nothing


def log(probabilities):
    with np.errstate(divide="ignore"):
        return np.log(np.array(probabilities, dtype=float))


def one_hot(path, classes=4):
    return log(np.eye(classes)[path])


def random_log_probs(frames, classes, seed):
    return np.log(np.random.default_rng(seed).dirichlet(np.ones(classes), frames))


def all_labellings(log_probs):
    """Every labelling with its probability: the sum over all C^T paths that collapse to it."""
    frames, classes = log_probs.shape
    total = defaultdict(float)
    for path in itertools.product(range(classes), repeat=frames):
        labels = tuple(label for label, _ in itertools.groupby(path) if label != 0)
        total[labels] += float(np.exp(log_probs[range(frames), path].sum()))
    return total


def test_best_path_merges_repeats_and_drops_blanks():
    assert best_path(one_hot([0, 1, 1, 0, 0, 2, 2, 2, 3])) == [1, 2, 3]


def test_a_repeated_letter_needs_a_blank_between():
    assert best_path(one_hot([1, 1, 1])) == [1]
    assert best_path(one_hot([1, 0, 1])) == [1, 1]


def test_nothing_but_blanks_is_an_empty_line():
    assert best_path(one_hot([0, 0, 0])) == []


def test_a_beam_finds_what_best_path_misses():
    # Two frames, P(blank) = 0.6 and P(a) = 0.4 in each. Paths: -- 0.36, -a 0.24, a- 0.24, aa 0.16.
    # The best path says "" with 0.36, but the three others all say "a": 0.64.
    log_probs = log([[0.6, 0.4], [0.6, 0.4]])
    assert best_path(log_probs) == []
    labels, score = prefix_beam_search(log_probs)[0]
    assert labels == [1]
    assert np.exp(score) == pytest.approx(0.64)


@pytest.mark.parametrize("seed", range(20))
def test_a_wide_beam_finds_every_labelling_with_its_probability(seed):
    log_probs = random_log_probs(frames=5, classes=3, seed=seed)
    expected = all_labellings(log_probs)
    found = prefix_beam_search(log_probs, **EVERYTHING)
    assert {tuple(labels): np.exp(p) for labels, p in found} == pytest.approx(expected)
    assert [p for _, p in found] == sorted((p for _, p in found), reverse=True)


@pytest.mark.parametrize("seed", range(5))
def test_a_labelling_s_probability_is_what_torch_says(seed):
    log_probs = random_log_probs(frames=9, classes=4, seed=seed)
    labels, score = prefix_beam_search(log_probs, **EVERYTHING)[0]
    loss = ctc_loss(torch.tensor(log_probs)[:, None], torch.tensor([labels]), [9], [len(labels)], reduction="sum")
    assert score == pytest.approx(-loss.item(), abs=1e-6)
    assert log_probability(log_probs, labels) == pytest.approx(-loss.item(), abs=1e-6)


@pytest.mark.parametrize("seed", range(5))
def test_a_narrow_beam_never_promises_too_much(seed):
    log_probs = random_log_probs(frames=6, classes=4, seed=seed)
    expected = all_labellings(log_probs)
    for labels, score in prefix_beam_search(log_probs, beam_width=3):
        assert np.exp(score) <= expected[tuple(labels)] + 1e-12


def test_labels_that_are_hardly_possible_can_be_left_out():
    log_probs = random_log_probs(frames=20, classes=30, seed=3)
    sure = np.log(np.exp(log_probs) ** 8 / (np.exp(log_probs) ** 8).sum(axis=1, keepdims=True))
    labels, score = prefix_beam_search(sure)[0]
    expected_labels, expected_score = prefix_beam_search(sure, min_probability=0, max_labels=1000)[0]
    assert labels == expected_labels
    assert score == pytest.approx(expected_score, abs=0.01)


def test_frames_that_are_certainly_blank_change_nothing():
    log_probs = random_log_probs(frames=5, classes=3, seed=1)
    padding = np.array([[0.0, -99.0, -99.0]] * 4)
    padded = np.concatenate([log_probs, padding])
    assert best_path(padded) == best_path(log_probs)
    assert prefix_beam_search(padded)[0][0] == prefix_beam_search(log_probs)[0][0]


def test_a_beam_of_nothing_is_refused():
    with pytest.raises(ValueError, match="beam_width must be at least 1, got 0"):
        prefix_beam_search(random_log_probs(2, 2, 0), beam_width=0)


def test_a_beam_as_wide_as_a_served_one_is_as_sure_as_torch():
    log_probs = random_log_probs(frames=60, classes=20, seed=0) * 3
    log_probs -= np.log(np.exp(log_probs).sum(axis=1, keepdims=True))
    labels, score = prefix_beam_search(log_probs)[0]
    loss = ctc_loss(torch.tensor(log_probs)[:, None], torch.tensor([labels]), [60], [len(labels)], reduction="sum")
    assert score <= -loss.item() + 1e-6
    assert log_probability(log_probs, labels) == pytest.approx(-loss.item(), abs=1e-6)


def test_a_language_model_turns_what_is_nearly_as_probable():
    # One frame of "ab" can be "aa" or "ab": the network says 0.5 and 0.4, the n-gram has only ever seen "ab".
    ngram = NGram.from_texts(["ab"] * 20, Charset("ab"), order=2)
    log_probs = log([[0.0, 1.0, 0.0], [1.0, 0.0, 0.0], [0.1, 0.5, 0.4]])
    assert prefix_beam_search(log_probs)[0][0] == [1, 1]
    labels, score = prefix_beam_search(log_probs, language=LanguageModel(ngram, weight=0.5, bonus=0.25))[0]
    assert labels == [1, 2]
    assert score == pytest.approx(np.log(0.4) + 0.5 * ngram.log_prob([1, 2]) + 0.25 * 2)


@pytest.mark.parametrize("seed", range(5))
def test_with_a_language_model_every_labelling_has_its_score(seed):
    log_probs = random_log_probs(frames=5, classes=4, seed=seed)
    ngram = NGram.from_texts(["abc", "cab", "aab"], Charset("abc"), order=3)
    found = prefix_beam_search(log_probs, language=LanguageModel(ngram, weight=0.7, bonus=0.4), **EVERYTHING)
    expected = {
        labels: np.log(probability) + 0.7 * ngram.log_prob(labels) + 0.4 * len(labels)
        for labels, probability in all_labellings(log_probs).items()
        if probability > 0
    }
    assert {tuple(labels): score for labels, score in found} == pytest.approx(expected, abs=1e-5)


def test_the_best_path_and_its_alternatives_are_as_probable_as_all_their_paths():
    # As above: "" 0.36, "a" 0.64.
    log_probs = log([[0.6, 0.4], [0.6, 0.4]])
    assert n_best(log_probs, "best_path", None, 25, alternatives=0) == [([], pytest.approx(0.36))]
    both = [([], pytest.approx(0.36)), ([1], pytest.approx(0.64))]
    assert n_best(log_probs, "best_path", None, 25, alternatives=1) == both
    assert n_best(log_probs, "best_path", None, 1, alternatives=1) == both
    assert n_best(log_probs, "beam", None, 25, alternatives=0) == both[::-1]


@pytest.mark.parametrize("decoder", ["best_path", "beam"])
def test_the_probabilities_of_all_candidates_are_at_most_one(decoder):
    log_probs = random_log_probs(frames=30, classes=6, seed=1)
    found = n_best(log_probs, decoder, None, beam_width=10, alternatives=5)
    assert len(found) >= 10
    assert sum(p for _, p in found) <= 1 + 1e-9
