"""Log-probs -> labels: best path, and prefix beam search with a character n-gram. `charset` turns labels to text."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from project.errors import InputError
from project.recognition.alignment import log_probability
from project.recognition.charset import BLANK
from project.recognition.lexicon import ROOT, Lexicon
from project.recognition.ngram import BOUNDARY, NGram

DECODERS = ("best_path", "beam")
BEAM_WIDTH = 25  # prefixes
MIN_PROBABILITY = 1e-4  # a label less probable than this in a frame is not worth trying
MAX_LABELS = 24  # labels that are tried in a frame, the most probable ones


@dataclass(frozen=True)
class LanguageModel:
    """What beam search asks about a language: a character n-gram and, where there is one, a lexicon.

    score = log P(labels) + weight * log P_ngram(labels) + bonus * their number - penalty * the number of words that the
    lexicon lacks. The bonus makes up for the n-gram's preference for short lines. A state is a pair, that of the n-gram
    and the node of the lexicon; states are (B, 2).
    """

    ngram: NGram
    weight: float
    bonus: float
    lexicon: Lexicon | None = None
    penalty: float = 0.0

    def start(self) -> np.ndarray:
        """Return the state at the start of a line, (1, 2)."""
        return np.array([[self.ngram.start, ROOT]])

    def scores(self, states: np.ndarray, labels: np.ndarray) -> np.ndarray:
        """Return what each of `labels` (K,) adds to the score in each of `states`: (B, K)."""
        scores = self.weight * self.ngram.log_probs[states[:, :1], labels] + self.bonus
        if self.lexicon:
            scores -= self.penalty * self.lexicon.unknown[states[:, 1:], self.lexicon.class_of_label[labels]]
        return scores

    def successors(self, states: np.ndarray, labels: np.ndarray) -> np.ndarray:
        """Return the states after one label each: states (B, 2), labels (B,) -> (B, 2)."""
        after = np.zeros_like(states)
        after[:, 0] = self.ngram.successors[states[:, 0], labels]
        if self.lexicon:
            after[:, 1] = self.lexicon.successors[states[:, 1], self.lexicon.class_of_label[labels]]
        return after

    def end_scores(self, states: np.ndarray) -> np.ndarray:
        """Return what the end of the line adds in each state, (B,). The last word may go on in the next line."""
        return self.weight * self.ngram.log_probs[states[:, 0], BOUNDARY]

    def log_prob(self, labels: Sequence[int]) -> float:
        """Return log P_ngram(labels and then the end of the line)."""
        return self.ngram.log_prob(labels)

    def for_line(self, log_probs: np.ndarray) -> "LanguageModel":
        """Return the model to read a line with: this one, whatever the line says."""
        return self


@dataclass(frozen=True)
class LanguageModels:
    """The language models of several languages, by the languages' names; each line is read with one of them."""

    by_language: dict[str, LanguageModel]

    def log_prob(self, labels: Sequence[int]) -> float:
        """Return the log_prob of the language that the labels are the most probable in."""
        return max(model.log_prob(labels) for model in self.by_language.values())

    def for_line(self, log_probs: np.ndarray) -> LanguageModel:
        """Return the model by whose n-gram the line's best path is the most probable. log_probs: (T, C)."""
        labels = best_path(log_probs)
        return max(self.by_language.values(), key=lambda model: model.log_prob(labels))


def decode(log_probs: np.ndarray, decoder: str, language: LanguageModel | LanguageModels | None = None) -> list[int]:
    """Return the labels of a line by one of `DECODERS`; `beam` uses the language model if given. log_probs: (T, C)."""
    return n_best(log_probs, decoder, language, BEAM_WIDTH, 0)[0][0] if decoder == "beam" else best_path(log_probs)


def best_path(log_probs: np.ndarray) -> list[int]:
    """Return the labels of the most probable path: take the best class per frame, merge repeats, drop blanks.

    log_probs: (T, C). Graves et al. 2006, section 3.2.
    """
    return [label for label, _, _ in best_path_spans(log_probs)]


def best_path_spans(log_probs: np.ndarray) -> list[tuple[int, int, int]]:
    """Return the labels of the best path, each with its first frame and the frame after its last. log_probs: (T, C)."""
    path = log_probs.argmax(axis=1)  # (T,)
    starts = np.flatnonzero(np.diff(path, prepend=-1))  # first frame of each run of one class
    stops = np.append(starts[1:], len(path))
    spans = zip(path[starts].tolist(), starts.tolist(), stops.tolist(), strict=True)
    return [(label, start, stop) for label, start, stop in spans if label != BLANK]


def prefix_beam_search(
    log_probs: np.ndarray,
    beam_width: int = BEAM_WIDTH,
    language: LanguageModel | None = None,
    min_probability: float = MIN_PROBABILITY,
    max_labels: int = MAX_LABELS,
) -> list[tuple[list[int], float]]:
    """Return the best labellings with their scores, best first: log P(labels), or `LanguageModel`'s score.

    log_probs: (T, C). In each frame the `max_labels` most probable labels are tried, of at least `min_probability`.
    P(labels) is the sum over those of their paths that stayed in the beam: exact where nothing was dropped, elsewhere a
    lower bound. Raise InputError if the beam is not at least 1 wide.
    Hannun et al. 2014, arXiv 1408.2873, algorithm 1, computed for all prefixes of the beam at once.
    """
    if beam_width < 1:
        raise InputError(f"beam_width must be at least 1, got {beam_width}")
    probabilities = np.exp(log_probs, dtype=float)  # (T, C)
    # Prefixes are numbered as they enter the beam: (number of the prefix one label shorter, last label) -> number
    numbers = {(-1, BLANK): 0}
    column = np.full(log_probs.shape[1], -1)  # of each label among those tried in a frame; -1: not tried
    # The beam, (B,) each: the prefix, the prefix one label shorter (`before`), its last label; and its states (B, 2),
    # P(all its paths that end in a blank), P(those that end in the last label), both to be multiplied by exp(log_scale)
    number, before, last = np.array([[0], [-1], [BLANK]])
    states = language.start() if language else np.empty((1, 0))
    in_blank, in_label, log_scale = np.ones(1), np.zeros(1), 0.0
    for frame, tried in zip(probabilities, likely_labels(probabilities, min_probability, max_labels), strict=True):
        # Keep each prefix: a blank, or its last label once more
        either = in_blank + in_label
        kept_blank, kept_label = either * frame[BLANK], in_label * frame[last]
        if len(tried):
            # Extend each prefix by each label; by its last label once more only after a blank
            column[tried] = np.arange(len(tried))
            own = column[last]  # (B,): the column of a prefix's last label, -1 if that is not tried
            column[tried] = -1
            extended = either[:, None] * frame[tried]  # (B, K)
            repeats = np.flatnonzero(own >= 0)
            extended[repeats, own[repeats]] = in_blank[repeats] * frame[last[repeats]]
            if language:
                extended *= np.exp(language.scores(states, tried))
            # Merge: an extension that is itself in the beam is that prefix
            longer, shorter = np.nonzero((before[:, None] == number) & (own >= 0)[:, None])
            kept_label[longer] += extended[shorter, own[longer]]
            extended[shorter, own[longer]] = 0

            # Prune to the best `beam_width` of the kept (the first B scores) and the extended prefixes
            scores = np.concatenate([kept_blank + kept_label, extended.ravel()])
            best = np.argpartition(-scores, min(beam_width, len(scores)) - 1)[:beam_width]
            best = best[scores[best] > 0]
            stays = best[best < len(number)]
            rows, columns = np.divmod(best[best >= len(number)] - len(number), len(tried))
            labels = tried[columns]

            # Build the next beam: those that stay, then the new ones
            prefixes = zip(number[rows].tolist(), labels.tolist(), strict=True)
            new = [numbers.setdefault(prefix, len(numbers)) for prefix in prefixes]
            before = np.concatenate([before[stays], number[rows]])
            number = np.concatenate([number[stays], np.array(new, int)])
            last = np.concatenate([last[stays], labels])
            if language:
                states = np.concatenate([states[stays], language.successors(states[rows], labels)])
            kept_blank = np.concatenate([kept_blank[stays], np.zeros(len(rows))])
            kept_label = np.concatenate([kept_label[stays], extended[rows, columns]])
        # Rescale, so that nothing underflows in a long line
        scale = (kept_blank + kept_label).max()
        in_blank, in_label, log_scale = kept_blank / scale, kept_label / scale, log_scale + np.log(scale)
    # Score whole lines: the n-gram also predicts their end
    scores = np.log(in_blank + in_label) + log_scale
    if language:
        scores += language.end_scores(states)
    prefixes_by_number = list(numbers)
    return [(labels_of_prefix(prefixes_by_number, number[i]), float(scores[i])) for i in np.argsort(-scores)]


def likely_labels(probabilities: np.ndarray, min_probability: float, max_labels: int) -> list[np.ndarray]:
    """Return the labels to try in each frame of `probabilities` (T, C)."""
    labels = np.delete(probabilities, BLANK, axis=1)
    threshold = np.full((len(labels), 1), min_probability)
    if max_labels < labels.shape[1]:
        threshold = np.maximum(threshold, np.partition(labels, -max_labels, axis=1)[:, -max_labels, None])
    frames, chosen = np.nonzero(labels >= threshold)
    return np.split(chosen + 1, np.searchsorted(frames, np.arange(1, len(labels))))


def labels_of_prefix(prefixes: list[tuple[int, int]], number: int) -> list[int]:
    """Return the labels of a prefix; prefixes: by number, the prefix one label shorter and the last label."""
    labels = []
    while number:
        number, label = prefixes[number]
        labels.append(label)
    return labels[::-1]


def n_best(
    log_probs: np.ndarray,
    decoder: str,
    language: LanguageModel | LanguageModels | None,
    beam_width: int,
    alternatives: int,
) -> list[tuple[list[int], float]]:
    """Return what `decoder` reads in a line, then other labellings, most probable first, each with a probability.

    For `best_path` that is P(labels), and there are others only if alternatives > 0; for `beam` it is their share of
    the beam's total score, language model included. The beam is at least alternatives + 1 wide. log_probs: (T, C).
    """
    beam_width = max(beam_width, alternatives + 1)
    if decoder == "best_path":
        labels = best_path(log_probs)
        others = prefix_beam_search(log_probs, beam_width) if alternatives else []
        found = [(labels, log_probability(log_probs, labels)), *(other for other in others if other[0] != labels)]
        return [(labels, math.exp(score)) for labels, score in found]
    found = prefix_beam_search(log_probs, beam_width, language.for_line(log_probs) if language else None)
    weights = np.exp(np.array([score for _, score in found]) - found[0][1])
    return [(labels, float(share)) for (labels, _), share in zip(found, weights / weights.sum(), strict=True)]
