"""How sure a reading is: probabilities that are right as often as they say.

A confidence is p ** (1 / temperature), with the temperature that makes the outcomes on validation lines the most
probable: temperature scaling (Guo et al. 2017, arXiv 1706.04599, section 4.2) of one number instead of all classes.
A beam's p, its share of what the beam kept, is high wherever the language model leaves no rival; so what the network
alone says, P(labelling), counts beside it, to a power that is found in the same way.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

TEMPERATURES = np.geomspace(0.05, 20, 100)  # that are tried
POWERS = np.append(0, np.geomspace(0.01, 1, 20))  # of P(labelling)
DRAWS = 200  # of outcomes, to tell what an error is by chance
IMAGINED = (True, False)  # outcomes of probability 1/2, beside the real ones: a few that are all alike say little
LOWEST = 1e-6  # a confidence is taken to be so far from 0 and 1 at least, so that one surprise is not infinitely bad


@dataclass(frozen=True)
class Calibration:
    """The temperatures of a decoder's confidences: of whole lines, and of single characters. power: of P(labelling), by
    which the confidence of a line is multiplied.
    """

    line: float = 1.0
    character: float = 1.0
    power: float = 0.0

    def of_lines(self, probabilities: Sequence[float], log_probabilities: Sequence[float] | float = 0.0) -> np.ndarray:
        """The confidences (N,) of lines with these probabilities (N,), and log P(labelling) where `power` asks it."""
        return apply_temperature(probabilities, self.line) * np.exp(self.power * np.asarray(log_probabilities))


def apply_temperature(probabilities: Sequence[float] | float, temperature: float) -> np.ndarray | float:
    """Probabilities -> confidences, both 0 to 1; a temperature below 1 makes them less sure."""
    return np.asarray(probabilities) ** (1 / temperature)


def fit_temperature(probabilities: Sequence[float], right: Sequence[bool]) -> float:
    """The temperature with the lowest negative log-likelihood of what was right; 1 where there is nothing to see."""
    if not len(right):
        return 1.0
    probabilities = with_pseudo_counts(probabilities, 1 / 2)
    surprises = negative_log_likelihood(apply_temperature(probabilities, TEMPERATURES[:, None]), [*right, *IMAGINED])
    return float(TEMPERATURES[surprises.argmin()])


def fit_temperature_and_power(
    shares: Sequence[float], log_probabilities: Sequence[float], right: Sequence[bool]
) -> tuple[float, float]:
    """The same for a beam's shares, with the power of P(labelling), of which the logarithms are given."""
    if not len(right):
        return 1.0, 0.0
    shares = with_pseudo_counts(shares, 1 / 2)
    network = np.exp(POWERS[:, None] * with_pseudo_counts(log_probabilities, np.log(1 / 2)))  # (powers, N + imagined)
    surprises = negative_log_likelihood(
        apply_temperature(shares, TEMPERATURES[:, None])[:, None] * network, [*right, *IMAGINED]
    )
    temperature, power = np.unravel_index(surprises.argmin(), surprises.shape)
    return float(TEMPERATURES[temperature]), float(POWERS[power])


def with_pseudo_counts(told: Sequence[float], half: float) -> np.ndarray:
    """What is told of the real outcomes, and of the `IMAGINED` ones after them."""
    return np.append(told, [half] * len(IMAGINED))


def negative_log_likelihood(confidences: np.ndarray, right: Sequence[bool]) -> np.ndarray:
    """The mean negative log-likelihood of what was right (N,) by each row of confidences (..., N)."""
    confidences = confidences.clip(LOWEST, 1 - LOWEST)
    return -np.log(np.where(np.asarray(right, bool), confidences, 1 - confidences)).mean(axis=-1)


def reliability(confidences: Sequence[float], right: Sequence[bool], bins: int = 10) -> np.ndarray:
    """(bins, 3): how many confidences are in each of equal bins from 0 to 1, their mean, and the share that was right;
    the latter two are 0 in an empty bin.
    """
    confidences, right = np.asarray(confidences, float), np.asarray(right, float)
    bin_of = np.minimum((confidences * bins).astype(int), bins - 1)
    counts, sure, correct = (np.bincount(bin_of, weights, bins) for weights in (None, confidences, right))
    return np.stack([counts, sure / counts.clip(1), correct / counts.clip(1)], axis=1)


def expected_calibration_error(confidences: Sequence[float], right: Sequence[bool], bins: int = 10) -> float:
    """sum over the bins of (its share of all) * |share that was right - mean confidence|: Guo et al., equation 5.

    ValueError if there are no confidences.
    """
    if not len(confidences):
        raise ValueError("a calibration error needs at least one confidence")
    counts, sure, correct = reliability(confidences, right, bins).T
    return float((counts * abs(correct - sure)).sum() / counts.sum())


def expected_ece_if_calibrated(confidences: Sequence[float], bins: int = 10) -> float:
    """The mean ECE if each of these confidences were exactly as probable to be right as it says: what is to be expected
    of so few outcomes even where nothing is wrong (the bias that Roelofs et al. 2022, arXiv 2012.08668, measure).
    """
    rng = np.random.default_rng(0)
    outcomes = (rng.random(len(confidences)) < np.asarray(confidences) for _ in range(DRAWS))
    return float(np.mean([expected_calibration_error(confidences, right, bins) for right in outcomes]))
