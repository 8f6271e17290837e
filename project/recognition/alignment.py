"""Labels against log-probs: how probable they are, and at which frames each label stands.

Graves et al. 2006, section 4.1: labels with a blank before, between and after them are the states of a trellis.
"""

import math
from collections.abc import Sequence

import numpy as np

from project.errors import InputError
from project.recognition.charset import BLANK

RESCALE_EVERY = 4  # frames: (e^-99)^4 is above the smallest float64, and -99 is the lowest log-prob of `recognizer`


def log_probability(log_probs: np.ndarray, labels: Sequence[int]) -> float:
    """Return log P(labels), the sum over all their paths; -inf if there is none. log_probs: (T, C)."""
    extended, skips = trellis(labels)  # (S,) each
    # alpha: P(all paths to a state). Two states more in front, of probability 0, stand for what lies before the first.
    alpha, log_scale = np.zeros(len(extended) + 2), 0.0
    alpha[2] = 1  # before the first frame, as if after a blank
    for frame, emissions in enumerate(np.exp(log_probs[:, extended], dtype=float)):
        # stay, go on by one, or skip the blank between two different labels
        alpha[2:] = (alpha[2:] + alpha[1:-1] + alpha[:-2] * skips) * emissions
        if frame % RESCALE_EVERY == 0:
            scale = alpha.sum()
            if scale == 0:
                return -math.inf
            alpha, log_scale = alpha / scale, log_scale + math.log(scale)
    total = alpha[2:][-2:].sum()  # a path ends in the last label or in the blank after it
    return log_scale + math.log(total) if total else -math.inf


def forced_alignment(log_probs: np.ndarray, labels: Sequence[int]) -> list[tuple[int, int]]:
    """Return the first frame of each label in their most probable path, and the frame after its last.

    log_probs: (T, C). Viterbi's algorithm. Raise InputError if there are too few frames for the labels.
    """
    extended, skips = trellis(labels)  # (S,) each
    states = np.arange(len(extended))
    best = np.full(len(extended) + 2, -np.inf)  # log P(best path to a state), two more in front as above
    best[2] = 0  # before the first frame, as if after a blank
    skip_cost = np.where(skips, 0, -np.inf)
    # Forward: the best way into each state
    steps = []  # (T, S): by how many states the best path moved on, 0 to 2
    for emissions in log_probs[:, extended]:
        ways = np.stack([best[2:], best[1:-1], best[:-2] + skip_cost])  # (3, S)
        steps.append(ways.argmax(axis=0))
        best[2:] = ways[steps[-1], states] + emissions
    state = int(len(extended) - 1 if best[-1] > best[-2] else max(0, len(extended) - 2))
    if best[2 + state] == -np.inf:
        raise InputError(f"{len(log_probs)} frames are too few for {len(labels)} labels")
    # Backward: follow the steps from the last frame to the first
    backward = []
    for moved in reversed(steps):
        backward.append(state)
        state -= int(moved[state])
    path = np.array(backward[::-1])  # (T,): states, of which the odd ones are labels
    own = np.arange(1, len(extended), 2)
    return list(zip(np.searchsorted(path, own).tolist(), np.searchsorted(path, own, "right").tolist(), strict=True))


def trellis(labels: Sequence[int]) -> tuple[np.ndarray, np.ndarray]:
    """Return the labels with blanks around and between them (S,), and which may follow the one two before."""
    extended = np.full(2 * len(labels) + 1, BLANK)
    extended[1::2] = labels
    skips = np.zeros(len(extended), bool)
    skips[2:] = (extended[2:] != BLANK) & (extended[2:] != extended[:-2])
    return extended, skips
