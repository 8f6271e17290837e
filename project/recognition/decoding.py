"""Log-probs -> labels: best path, and prefix beam search; how probable labels are, and where they stand.

Text is the business of `charset.py`.
"""

import math
from dataclasses import dataclass

import numpy as np

from project.errors import InputError
from project.recognition.alignment import log_probability
from project.recognition.charset import BLANK
from project.recognition.ngram import BOUNDARY, NGram

DECODERS = ("best_path", "beam")
BEAM_WIDTH = 25  # prefixes
MIN_PROBABILITY = 1e-4  # a label less probable than this in a frame is not worth trying
MAX_LABELS = 24  # labels that are tried in a frame, the most probable ones


@dataclass(frozen=True)
class LanguageModel:
    """A character n-gram, and how much it counts beside the network: log P(labelling) + weight * log P_ngram(labelling)
    + bonus * its length. The bonus makes up for an n-gram's liking of short lines.
    """

    ngram: NGram
    weight: float
    bonus: float


def decode(log_probs: np.ndarray, decoder: str, language: LanguageModel | None = None) -> list[int]:
    """Labels of a line by one of `DECODERS`; a beam asks the language model, if there is one. log_probs: (T, C)."""
    return prefix_beam_search(log_probs, language=language)[0][0] if decoder == "beam" else best_path(log_probs)


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
    log_probs: np.ndarray,
    beam_width: int = BEAM_WIDTH,
    language: LanguageModel | None = None,
    least: float = MIN_PROBABILITY,
    most: int = MAX_LABELS,
) -> list[tuple[list[int], float]]:
    """The best labellings, best first, with their scores: log P(labelling), or with a language model what it says.

    log_probs: (T, C). In a frame only the `most` probable labels are tried, and none less probable than `least`.
    P(labelling) is the sum over all paths of it that were kept: exact where nothing was dropped, a lower bound
    elsewhere. Hannun et al. 2014, arXiv 1408.2873, algorithm 1, for all prefixes of the beam at once.
    """
    if beam_width < 1:
        raise InputError(f"beam_width must be at least 1, got {beam_width}")
    probabilities = np.exp(log_probs, dtype=float)  # (T, C)
    numbers = {(-1, BLANK): 0}  # of each prefix that was ever kept, by the number of the one before and the last label
    column = np.full(log_probs.shape[1], -1)  # of a label among those that are tried
    # The beam, (B,) each: `before` is the number of a prefix without its last label; the probabilities are those of
    # all paths that end in a blank, and in the last label, to be multiplied with exp(log_scale).
    number, before, last, state = np.array([[0], [-1], [BLANK], [language.ngram.start if language else 0]])
    in_blank, in_label, log_scale = np.ones(1), np.zeros(1), 0.0
    for frame, tried in zip(probabilities, likely_labels(probabilities, least, most), strict=True):
        either = in_blank + in_label
        kept_blank, kept_label = either * frame[BLANK], in_label * frame[last]
        if len(tried):
            column[tried] = np.arange(len(tried))
            own = column[last]  # the column in which a prefix repeats its last label
            column[tried] = -1
            grown = either[:, None] * frame[tried]  # (B, K)
            repeats = np.flatnonzero(own >= 0)
            grown[repeats, own[repeats]] = in_blank[repeats] * frame[last[repeats]]  # needs a blank between
            if language:
                grown *= np.exp(language.weight * language.ngram.log_probs[state[:, None], tried] + language.bonus)
            longer, shorter = np.nonzero((before[:, None] == number) & (own >= 0)[:, None])  # both in the beam
            kept_label[longer] += grown[shorter, own[longer]]
            grown[shorter, own[longer]] = 0

            scores = np.concatenate([kept_blank + kept_label, grown.ravel()])
            best = np.argpartition(-scores, min(beam_width, len(scores)) - 1)[:beam_width]
            best = best[scores[best] > 0]
            stays = best[best < len(number)]
            rows, columns = np.divmod(best[best >= len(number)] - len(number), len(tried))
            labels = tried[columns]
            prefixes = zip(number[rows].tolist(), labels.tolist(), strict=True)
            new = [numbers.setdefault(prefix, len(numbers)) for prefix in prefixes]
            before = np.concatenate([before[stays], number[rows]])
            number = np.concatenate([number[stays], np.array(new, int)])
            last = np.concatenate([last[stays], labels])
            if language:
                state = np.concatenate([state[stays], language.ngram.successors[state[rows], labels]])
            kept_blank = np.concatenate([kept_blank[stays], np.zeros(len(rows))])
            kept_label = np.concatenate([kept_label[stays], grown[rows, columns]])
        scale = (kept_blank + kept_label).max()
        in_blank, in_label, log_scale = kept_blank / scale, kept_label / scale, log_scale + np.log(scale)
    scores = np.log(in_blank + in_label) + log_scale
    if language:
        scores += language.weight * language.ngram.log_probs[state, BOUNDARY]
    known = list(numbers)
    return [(labels_of_prefix(known, number[i]), float(scores[i])) for i in np.argsort(-scores)]


def likely_labels(probabilities: np.ndarray, least: float, most: int) -> list[np.ndarray]:
    """The labels that are worth trying in each frame of `probabilities` (T, C)."""
    labels = np.delete(probabilities, BLANK, axis=1)
    if most < labels.shape[1]:
        least = np.maximum(least, np.partition(labels, -most, axis=1)[:, -most, None])
    frames, chosen = np.nonzero(labels >= least)
    return np.split(chosen + 1, np.searchsorted(frames, np.arange(1, len(labels))))


def labels_of_prefix(prefixes: list[tuple[int, int]], number: int) -> list[int]:
    """The labels of a prefix, from the prefix before each and its last label."""
    labels = []
    while number:
        number, label = prefixes[number]
        labels.append(label)
    return labels[::-1]


def n_best(
    log_probs: np.ndarray, decoder: str, language: LanguageModel | None, beam_width: int, alternatives: int
) -> list[tuple[list[int], float]]:
    """What `decoder` reads in a line, and then other labellings, the most probable first, each with a probability.

    Of the best path and its alternatives (if any are asked for), P(labelling); of a beam's, their share of all
    that it kept, the language model included. The beam is as wide as there are texts to find, or wider. log_probs:
    (T, C).
    """
    beam_width = max(beam_width, alternatives + 1)
    if decoder == "best_path":
        labels = best_path(log_probs)
        others = prefix_beam_search(log_probs, beam_width) if alternatives else []
        found = [(labels, log_probability(log_probs, labels)), *(other for other in others if other[0] != labels)]
        return [(labels, math.exp(score)) for labels, score in found]
    found = prefix_beam_search(log_probs, beam_width, language)
    weights = np.exp(np.array([score for _, score in found]) - found[0][1])
    return [(labels, float(share)) for (labels, _), share in zip(found, weights / weights.sum(), strict=True)]
