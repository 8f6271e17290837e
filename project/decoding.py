"""Log-probs -> labels: best path, and prefix beam search. Text is the business of `charset.py`."""

import math

import numpy as np

from project.charset import BLANK

LEAST = math.log(1e-4)  # a class less probable than this in a frame is not worth trying
IMPOSSIBLE = (-math.inf, -math.inf)  # log-probabilities of a prefix that no path has


def best_path(log_probs: np.ndarray) -> list[int]:
    """Labels of the most probable path: take the best class per frame, merge repeats, drop blanks.

    log_probs: (T, C). Graves et al. 2006, section 3.2.
    """
    return [label for label, _, _ in best_path_spans(log_probs)]


def best_path_spans(log_probs: np.ndarray) -> list[tuple[int, int, int]]:
    """The labels of the best path, each with its first frame and the frame after its last. log_probs: (T, C)."""
    path = log_probs.argmax(axis=1)  # (T,)
    starts = np.flatnonzero(np.diff(path, prepend=-1))  # first frame of each run of one class
    stops = np.append(starts[1:], len(path))
    spans = zip(path[starts].tolist(), starts.tolist(), stops.tolist(), strict=True)
    return [(label, start, stop) for label, start, stop in spans if label != BLANK]


def prefix_beam_search(
    log_probs: np.ndarray, beam_width: int = 25, least: float = -math.inf
) -> list[tuple[list[int], float]]:
    """The most probable labellings, best first, with their log-probabilities.

    log_probs: (T, C). Classes with a log-prob below `least` are not tried in that frame. A labelling's probability
    is the sum over all paths that the beam kept of it, so it is exact where the beam is wide enough to drop
    nothing, and a lower bound elsewhere. Hannun et al. 2014, arXiv 1408.2873, algorithm 1, without the language model.
    """
    if beam_width < 1:
        raise ValueError(f"beam_width must be at least 1, got {beam_width}")
    beam = {(): (0.0, -math.inf)}  # prefix -> log-probability of its paths that end (in a blank, in its last label)
    for frame in log_probs.tolist():
        likely = [(label, step) for label, step in enumerate(frame) if step >= least and step > -math.inf]
        grown: dict[tuple, tuple[float, float]] = {}
        for prefix, (in_blank, in_label) in beam.items():
            either = log_add(in_blank, in_label)
            for label, step in likely:
                if label == BLANK:
                    blank, last = grown.get(prefix, IMPOSSIBLE)
                    grown[prefix] = (log_add(blank, either + step), last)
                    continue
                repeats = bool(prefix) and prefix[-1] == label
                if repeats:  # without a blank between, the repeat is still the same letter
                    blank, last = grown.get(prefix, IMPOSSIBLE)
                    grown[prefix] = (blank, log_add(last, in_label + step))
                longer = (*prefix, label)
                blank, last = grown.get(longer, IMPOSSIBLE)
                grown[longer] = (blank, log_add(last, (in_blank if repeats else either) + step))
        possible = [item for item in grown.items() if max(item[1]) > -math.inf]
        beam = dict(sorted(possible, key=lambda item: -log_add(*item[1]))[:beam_width])
    return [(list(prefix), log_add(*ends)) for prefix, ends in beam.items()]


def log_add(a: float, b: float) -> float:
    """log(exp(a) + exp(b))."""
    high, low = (a, b) if a > b else (b, a)
    return high if low == -math.inf else high + math.log1p(math.exp(low - high))


def beam(log_probs: np.ndarray) -> list[int]:
    """Labels of the most probable labelling that prefix beam search finds. log_probs: (T, C)."""
    return prefix_beam_search(log_probs, least=LEAST)[0][0]


DECODERS = {"best_path": best_path, "beam": beam}
