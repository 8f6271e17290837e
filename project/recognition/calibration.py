"""Probabilities -> confidences that are right as often as they say.

A confidence is p ** (1 / temperature), with the temperature that maximizes the likelihood of the outcomes on validation
lines: temperature scaling (Guo et al. 2017, arXiv 1706.04599, section 4.2) of one number instead of all classes.
A beam's p, its share of the beam's total, is high wherever the language model leaves no rival; so it is multiplied by
the network's own P(labels) to a power that is fitted in the same way.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

TEMPERATURES = np.geomspace(0.05, 20, 100)  # candidates of the fit
POWERS = np.append(0, np.geomspace(0.01, 1, 20))  # candidates, of P(labels)
DRAWS = 200  # simulated sets of outcomes
PSEUDO_OUTCOMES = (
    True,
    False,
)  # of probability 1/2, beside the real ones: a few outcomes that are all alike prove little
MIN_CONFIDENCE = 1e-6  # distance kept from 0 and 1, so that one wrong line does not cost infinitely much


@dataclass(frozen=True)
class Calibration:
    """The calibration of one decoder's confidences."""

    line: float = 1.0  # temperature of a whole line's confidence
    character: float = 1.0  # temperature of a character's
    power: float = 0.0  # of P(labels), by which a line's confidence is multiplied

    def of_lines(self, probabilities: ArrayLike, log_probabilities: ArrayLike = 0.0) -> np.ndarray:
        """Return the confidences (N,) of lines with these probabilities (N,); log P(labels) is used if power > 0."""
        return apply_temperature(probabilities, self.line) * np.exp(self.power * np.asarray(log_probabilities))


def apply_temperature(probabilities: ArrayLike, temperature: ArrayLike) -> np.ndarray:
    """Return probabilities, 0 to 1, to the power 1 / temperature; a temperature below 1 lowers them."""
    return np.asarray(probabilities) ** (1 / np.asarray(temperature))


def fit_temperature(probabilities: ArrayLike, right: ArrayLike) -> float:
    """Return the temperature with the lowest negative log-likelihood of what was right; 1 without outcomes."""
    if not np.size(right):
        return 1.0
    confidences = apply_temperature(with_pseudo_counts(probabilities, 1 / 2), TEMPERATURES[:, None])
    losses = negative_log_likelihood(confidences, np.append(right, PSEUDO_OUTCOMES))
    return float(TEMPERATURES[losses.argmin()])


def fit_temperature_and_power(shares: ArrayLike, log_probabilities: ArrayLike, right: ArrayLike) -> tuple[float, float]:
    """Return temperature and power for a beam's shares (N,) and log P(labels) (N,); 1 and 0 without outcomes."""
    if not np.size(right):
        return 1.0, 0.0
    shares = with_pseudo_counts(shares, 1 / 2)
    network = np.exp(POWERS[:, None] * with_pseudo_counts(log_probabilities, np.log(1 / 2)))  # (powers, N + pseudo)
    confidences = (
        apply_temperature(shares, TEMPERATURES[:, None])[:, None] * network
    )  # (temperatures, powers, N + pseudo)
    losses = negative_log_likelihood(confidences, np.append(right, PSEUDO_OUTCOMES))
    temperature, power = np.unravel_index(losses.argmin(), losses.shape)
    return float(TEMPERATURES[temperature]), float(POWERS[power])


def with_pseudo_counts(values: ArrayLike, half: float) -> np.ndarray:
    """Append to the values (N,) of the real outcomes the value `half` of each of `PSEUDO_OUTCOMES`."""
    return np.append(values, [half] * len(PSEUDO_OUTCOMES))


def negative_log_likelihood(confidences: np.ndarray, right: ArrayLike) -> np.ndarray:
    """Return the mean negative log-likelihood (...) of outcomes (N,) under confidences (..., N)."""
    confidences = confidences.clip(MIN_CONFIDENCE, 1 - MIN_CONFIDENCE)
    return -np.log(np.where(np.asarray(right, bool), confidences, 1 - confidences)).mean(axis=-1)


def reliability(confidences: ArrayLike, right: ArrayLike, bins: int = 10) -> np.ndarray:
    """Return (bins, 3): how many confidences are in each of equal bins from 0 to 1, their mean, the share right.

    Mean and share are 0 in an empty bin.
    """
    bin_of = np.minimum((np.asarray(confidences, float) * bins).astype(int), bins - 1)
    counts, sure, correct = (np.bincount(bin_of, weights, bins) for weights in (None, confidences, right))
    return np.stack([counts, sure / counts.clip(1), correct / counts.clip(1)], axis=1)


def expected_calibration_error(confidences: ArrayLike, right: ArrayLike, bins: int = 10) -> float:
    """Return ECE = sum over bins of (count / N) * |share that was right - mean confidence|: Guo et al., equation 5.

    Raise ValueError without confidences.
    """
    if not np.size(confidences):
        raise ValueError("a calibration error needs at least one confidence")
    counts, sure, correct = reliability(confidences, right, bins).T
    return float((counts * abs(correct - sure)).sum() / counts.sum())


def expected_ece_if_calibrated(confidences: ArrayLike, bins: int = 10) -> float:
    """Return the mean ECE of simulated outcomes that are right exactly as often as these confidences say.

    It is above 0 for few lines: the bias of ECE that Roelofs et al. 2022, arXiv 2012.08668, measure.
    """
    rng = np.random.default_rng(0)
    outcomes = (rng.random(np.size(confidences)) < np.asarray(confidences) for _ in range(DRAWS))
    return float(np.mean([expected_calibration_error(confidences, right, bins) for right in outcomes]))
