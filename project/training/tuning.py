"""A trained recogniser and validation lines -> the same with a language model that helps, and with calibrations."""

import dataclasses
import itertools
from collections.abc import Sequence

import numpy as np
from tqdm import tqdm

from project.data.dataset import Line
from project.evaluation import metrics
from project.recognition.alignment import log_probability
from project.recognition.calibration import (
    Calibration,
    expected_calibration_error,
    fit_temperature,
    fit_temperature_and_power,
)
from project.recognition.decoding import BEAM_WIDTH, LanguageModel, best_path, prefix_beam_search
from project.recognition.ngram import NGram, highest_order
from project.recognition.recognizer import Reading, Recognizer

LANGUAGE_MODEL_LINES = 200  # at most, spread over the validation split: it bounds the time
CALIBRATION_LINES = 500  # at most, for the confidences, where a line is one outcome and not many characters
ORDERS = (3, 4, 5, 6)
WEIGHTS = (0.2, 0.4, 0.6, 0.8)
BONUSES = (0.0, 1.0, 2.0, 3.0)
NARROW_BEAM = 10  # beam width while weights are compared: faster, and it prefers the same ones
SUFFIXES = {"best_path": "", "beam": "_beam"}  # of the metrics, by decoder

Outcomes = tuple[np.ndarray, np.ndarray]  # confidences, and whether what they are about was right


def tuned(
    recognizer: Recognizer, texts: Sequence[str], lines: Sequence[Line], known: Sequence[NGram] = ()
) -> tuple[Recognizer, dict[str, float], dict[str, Outcomes]]:
    """Return the recogniser with calibrated confidences, and an n-gram if that lowers the CER: of `texts`, or one of
    `known`; its metrics on the validation `lines` (fractions; ECE before and after); and the outcomes by decoder.
    """
    lines = spread(lines, CALIBRATION_LINES)
    log_probs = recognizer.log_probs([line.image for line in lines])
    some, some_log_probs = spread(lines, LANGUAGE_MODEL_LINES), spread(log_probs, LANGUAGE_MODEL_LINES)
    language = best_language_model(best_ngram(recognizer, texts, some, known), recognizer, some_log_probs, some)
    plain = dataclasses.replace(recognizer, language=language, calibrations={})
    figures: dict[str, float] = {}
    if language:
        figures |= {"lm_order": language.ngram.order, "lm_weight": language.weight, "lm_bonus": language.bonus}
    calibrations, outcomes = {}, {}
    for decoder, suffix in SUFFIXES.items():
        bar = tqdm(log_probs, desc=f"calibrating {decoder}", leave=False, mininterval=1)
        readings = [plain.transcribe_line(one, decoder, BEAM_WIDTH, alternatives=0) for one in bar]
        probabilities = np.array([reading.confidence for reading in readings])
        right = np.array([reading.text == line.text for reading, line in zip(readings, lines, strict=True)])
        network = network_log_probs(plain, readings, log_probs) if decoder == "beam" else np.zeros(len(lines))
        calibrations[decoder] = fit_calibration(decoder, readings, lines, probabilities, network, right)
        outcomes[decoder] = calibrations[decoder].of_lines(probabilities, network), right
        figures[f"val_ece{suffix}_before"] = expected_calibration_error(probabilities, right)
        figures[f"val_ece{suffix}"] = expected_calibration_error(*outcomes[decoder])
        if decoder == "beam":
            figures["val_cer_beam"] = metrics.cer([line.text for line in lines], [reading.text for reading in readings])
    return dataclasses.replace(plain, calibrations=calibrations), figures, outcomes


def network_log_probs(
    recognizer: Recognizer, readings: Sequence[Reading], log_probs: Sequence[np.ndarray]
) -> np.ndarray:
    """Compute the log-probability (lines,) of each reading by the network alone; log_probs: (T, C) of each line."""
    labels = [recognizer.charset.encode(reading.text) for reading in readings]
    return np.array([log_probability(*both) for both in zip(log_probs, labels, strict=True)])


def fit_calibration(
    decoder: str,
    readings: Sequence[Reading],
    lines: Sequence[Line],
    probabilities: np.ndarray,
    network: np.ndarray,
    right: np.ndarray,
) -> Calibration:
    """Fit the calibration of a decoder to its readings of the lines. All arrays are (lines,): `probabilities` of the
    readings, log-probabilities by the `network` alone, and whether the whole line is `right`.
    """
    if decoder == "beam":
        temperature, power = fit_temperature_and_power(probabilities, network, right)
    else:  # a best path's probability is the network's own
        temperature, power = fit_temperature(probabilities, right), 0.0
    confidences = [character.confidence for reading in readings for character in reading.characters]
    correct = [
        is_right
        for reading, line in zip(readings, lines, strict=True)
        for is_right in metrics.right_characters(line.text, reading.text)
    ]
    return Calibration(temperature, fit_temperature(confidences, correct), power)


def spread(items: Sequence, most: int) -> list:
    """Return at most `most` of the items, evenly spread over them."""
    return [items[i] for i in np.linspace(0, len(items) - 1, min(most, len(items))).astype(int)]


def best_ngram(
    recognizer: Recognizer, texts: Sequence[str], lines: Sequence[Line], known: Sequence[NGram] = ()
) -> NGram:
    """Return the n-gram to which the lines are the most probable: of `texts`, in the `ORDERS` that the charset allows,
    or one of the `known`.
    """
    highest = highest_order(len(recognizer.charset))
    ngrams = (NGram.from_texts(texts, recognizer.charset, order) for order in ORDERS if order <= highest)
    return max(itertools.chain(ngrams, known), key=lambda ngram: sum(ngram.log_prob(line.labels) for line in lines))


def best_language_model(
    ngram: NGram, recognizer: Recognizer, log_probs: Sequence[np.ndarray], lines: Sequence[Line]
) -> LanguageModel | None:
    """Return the n-gram with the weight and bonus that read the lines best; None if best path is as good without it."""
    texts = [line.text for line in lines]

    def cer(readings: list[list[int]]) -> float:
        return metrics.cer(texts, [recognizer.charset.decode(labels) for labels in readings])

    models = [LanguageModel(ngram, weight, bonus) for weight in WEIGHTS for bonus in BONUSES]
    cers = [cer([prefix_beam_search(one, NARROW_BEAM, model)[0][0] for one in log_probs]) for model in models]
    without = cer([best_path(one) for one in log_probs])
    return models[int(np.argmin(cers))] if min(cers) < without else None
