"""Log-probs -> labels: best path, and prefix beam search. Text is the business of `charset.py`."""

import math
from collections import defaultdict

import numpy as np

from project.charset import BLANK


def best_path(log_probs: np.ndarray) -> list[int]:
    """Labels of the most probable path: take the best class per frame, merge repeats, drop blanks.

    log_probs: (T, C). Graves et al. 2006, section 3.2.
    """
    path = log_probs.argmax(axis=1)  # (T,)
    starts = np.flatnonzero(np.diff(path, prepend=-1))  # first frame of each run of one class
    return [int(label) for label in path[starts] if label != BLANK]


def prefix_beam_search(log_probs: np.ndarray, beam_width: int = 25) -> list[tuple[list[int], float]]:
    """The most probable labellings, best first, with their log-probabilities.

    log_probs: (T, C). A labelling's probability is the sum over all paths that the beam kept of it, so
    it is exact where the beam is wide enough to drop nothing, and a lower bound elsewhere.
    Hannun et al. 2014, arXiv 1408.2873, algorithm 1, without the language model.
    """
    if beam_width < 1:
        raise ValueError(f"beam_width must be at least 1, got {beam_width}")
    beam = {(): (0.0, -math.inf)}  # prefix -> log-probability of its paths that end (in a blank, in its last label)
    for frame in log_probs.astype(float):
        candidates = np.argsort(frame)[: -beam_width - 2 : -1]  # a class that is further down cannot enter the beam
        grown = defaultdict(lambda: (-math.inf, -math.inf))
        for prefix, (in_blank, in_label) in beam.items():
            either = np.logaddexp(in_blank, in_label)
            for label in candidates.tolist():
                step = frame[label]
                if label == BLANK:
                    blank, last = grown[prefix]
                    grown[prefix] = (np.logaddexp(blank, either + step), last)
                    continue
                repeats = bool(prefix) and prefix[-1] == label
                if repeats:  # without a blank between, the repeat is still the same letter
                    blank, last = grown[prefix]
                    grown[prefix] = (blank, np.logaddexp(last, in_label + step))
                longer = (*prefix, label)
                blank, last = grown[longer]
                grown[longer] = (blank, np.logaddexp(last, (in_blank if repeats else either) + step))
        possible = [item for item in grown.items() if max(item[1]) > -math.inf]
        beam = dict(sorted(possible, key=lambda item: -np.logaddexp(*item[1]))[:beam_width])
    return [(list(prefix), float(np.logaddexp(*ends))) for prefix, ends in beam.items()]


def beam(log_probs: np.ndarray) -> list[int]:
    """Labels of the most probable labelling that prefix beam search finds. log_probs: (T, C)."""
    return prefix_beam_search(log_probs)[0][0]


DECODERS = {"best_path": best_path, "beam": beam}
