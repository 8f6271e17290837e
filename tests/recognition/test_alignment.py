import itertools

import numpy as np
import pytest

from project.recognition.alignment import forced_alignment, log_probability
from project.recognition.decoding import best_path_spans


def log(probabilities):
    with np.errstate(divide="ignore"):
        return np.log(np.array(probabilities, dtype=float))


def random_log_probs(frames, classes, seed):
    return np.log(np.random.default_rng(seed).dirichlet(np.ones(classes), frames))


def test_a_label_stands_where_its_most_probable_path_has_it():
    # Paths of [1, 2] in 4 frames; the best is - 1 1 2.
    log_probs = log([[0.8, 0.1, 0.1], [0.2, 0.7, 0.1], [0.3, 0.6, 0.1], [0.1, 0.1, 0.8]])
    assert forced_alignment(log_probs, [1, 2]) == [(1, 3), (3, 4)]
    assert forced_alignment(log_probs, []) == []


@pytest.mark.parametrize("seed", range(20))
def test_the_best_path_aligned_is_the_best_path(seed):
    log_probs = random_log_probs(frames=30, classes=5, seed=seed)
    spans = best_path_spans(log_probs)
    assert forced_alignment(log_probs, [label for label, _, _ in spans]) == [(start, stop) for _, start, stop in spans]


@pytest.mark.parametrize("labels", [(1, 1), (1, 2, 1), (2,), (1, 2, 2)])
def test_an_alignment_is_the_best_of_all_paths(labels):
    log_probs = random_log_probs(frames=6, classes=3, seed=7)
    frames, classes = log_probs.shape
    paths = [
        path
        for path in itertools.product(range(classes), repeat=frames)
        if tuple(label for label, _ in itertools.groupby(path) if label != 0) == labels
    ]
    best = max(paths, key=lambda path: log_probs[range(frames), path].sum())
    aligned = np.zeros(frames, int)
    for label, (start, stop) in zip(labels, forced_alignment(log_probs, labels), strict=True):
        aligned[start:stop] = label
    assert tuple(aligned) == best


def test_labels_that_need_more_frames_than_there_are_cannot_be_aligned():
    log_probs = random_log_probs(frames=2, classes=3, seed=0)
    with pytest.raises(ValueError, match="2 frames are too few for 2 labels"):
        forced_alignment(log_probs, [1, 1])
    assert log_probability(log_probs, [1, 1]) == -np.inf
