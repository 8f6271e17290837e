"""..."""

import math
from collections.abc import Sequence

import numpy as np

from project.errors import InputError
from project.recognition.charset import BLANK

RESCALE_EVERY = (
    4  # frames after which probabilities are scaled up: e^-99, what `recognizer` answers at least, to that power
)


def log_probability(log_probs: np.ndarray, labels: Sequence[int]) -> float:
    """log P(labels): the sum over all paths. log_probs: (T, C). Graves et al. 2006, section 4.1."""
    extended, skips = trellis(labels)  # (S,) each
    arrived, log_scale = np.zeros(len(extended) + 2), 0.0  # two more in front, from where nothing comes
    arrived[2] = 1  # before the first frame, as if after a blank
    for frame, step in enumerate(np.exp(log_probs[:, extended], dtype=float)):
        arrived[2:] = (arrived[2:] + arrived[1:-1] + arrived[:-2] * skips) * step
        if frame % RESCALE_EVERY == 0:
            scale = arrived.sum()
            if scale == 0:
                return -math.inf
            arrived, log_scale = arrived / scale, log_scale + math.log(scale)
    ended = arrived[2:][-2:].sum()
    return log_scale + math.log(ended) if ended else -math.inf


def forced_alignment(log_probs: np.ndarray, labels: Sequence[int]) -> list[tuple[int, int]]:
    """Where the labels stand in their most probable path: the first frame of each, and the frame after its last.

    log_probs: (T, C). Viterbi's algorithm. ValueError if there are too few frames for the labels.
    """
    extended, skips = trellis(labels)  # (S,) each
    states = np.arange(len(extended))
    best = np.full(len(extended) + 2, -np.inf)  # two more in front, from where nothing comes
    best[2] = 0  # before the first frame, as if after a blank
    jump = np.where(skips, 0, -np.inf)
    jumps = []  # (T, S): how many states the best path to each state went on
    for step in log_probs[:, extended]:
        ways = np.stack([best[2:], best[1:-1], best[:-2] + jump])  # (3, S)
        jumps.append(ways.argmax(axis=0))
        best[2:] = ways[jumps[-1], states] + step
    state = int(len(extended) - 1 if best[-1] > best[-2] else max(0, len(extended) - 2))
    if best[2 + state] == -np.inf:
        raise InputError(f"{len(log_probs)} frames are too few for {len(labels)} labels")
    path = []
    for row in reversed(jumps):
        path.append(state)
        state -= int(row[state])
    path = np.array(path[::-1])  # (T,): states, of which the odd ones are labels
    own = np.arange(1, len(extended), 2)
    return list(zip(np.searchsorted(path, own).tolist(), np.searchsorted(path, own, "right").tolist(), strict=True))


def trellis(labels: Sequence[int]) -> tuple[np.ndarray, np.ndarray]:
    """The labels with a blank before, between and after them, and which of these may follow the one two before it."""
    extended = np.full(2 * len(labels) + 1, BLANK)
    extended[1::2] = labels
    skips = np.zeros(len(extended), bool)
    skips[2:] = (extended[2:] != BLANK) & (extended[2:] != extended[:-2])
    return extended, skips
