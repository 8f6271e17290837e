"""On paper first, then against judges that know nothing of our code: all paths one by one, and torch's CTC loss."""

import itertools
from collections import defaultdict

import numpy as np
import pytest
import torch
from torch.nn.functional import ctc_loss

from project.decoding import best_path, prefix_beam_search


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
    labels, log_probability = prefix_beam_search(log_probs)[0]
    assert labels == [1]
    assert np.exp(log_probability) == pytest.approx(0.64)


@pytest.mark.parametrize("seed", range(20))
def test_a_wide_beam_finds_every_labelling_with_its_probability(seed):
    log_probs = random_log_probs(frames=5, classes=3, seed=seed)
    expected = all_labellings(log_probs)
    found = prefix_beam_search(log_probs, beam_width=1000)
    assert {tuple(labels): np.exp(p) for labels, p in found} == pytest.approx(expected)
    assert [p for _, p in found] == sorted((p for _, p in found), reverse=True)


@pytest.mark.parametrize("seed", range(5))
def test_a_labelling_s_probability_is_what_torch_says(seed):
    log_probs = random_log_probs(frames=12, classes=4, seed=seed)
    labels, log_probability = prefix_beam_search(log_probs, beam_width=5000)[0]
    loss = ctc_loss(torch.tensor(log_probs)[:, None], torch.tensor([labels]), [12], [len(labels)], reduction="sum")
    assert log_probability == pytest.approx(-loss.item(), abs=1e-6)


@pytest.mark.parametrize("seed", range(5))
def test_a_narrow_beam_never_promises_too_much(seed):
    log_probs = random_log_probs(frames=6, classes=4, seed=seed)
    expected = all_labellings(log_probs)
    for labels, log_probability in prefix_beam_search(log_probs, beam_width=3):
        assert np.exp(log_probability) <= expected[tuple(labels)] + 1e-12


def test_classes_that_are_hardly_possible_can_be_left_out():
    log_probs = random_log_probs(frames=20, classes=30, seed=3)
    sure = np.log(np.exp(log_probs) ** 8 / (np.exp(log_probs) ** 8).sum(axis=1, keepdims=True))
    labels, log_probability = prefix_beam_search(sure, least=np.log(1e-4))[0]
    assert labels == prefix_beam_search(sure)[0][0]
    assert log_probability == pytest.approx(prefix_beam_search(sure)[0][1], abs=0.01)


def test_frames_that_are_certainly_blank_change_nothing():
    log_probs = random_log_probs(frames=5, classes=3, seed=1)
    padding = np.array([[0.0, -99.0, -99.0]] * 4)
    padded = np.concatenate([log_probs, padding])
    assert best_path(padded) == best_path(log_probs)
    assert prefix_beam_search(padded)[0][0] == prefix_beam_search(log_probs)[0][0]


def test_a_beam_of_nothing_is_refused():
    with pytest.raises(ValueError, match="beam_width must be at least 1, got 0"):
        prefix_beam_search(random_log_probs(2, 2, 0), beam_width=0)
