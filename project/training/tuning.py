"""A trained recogniser and validation lines -> the same with a language model that helps, and with calibrations."""

import dataclasses
from collections.abc import Iterable, Sequence
from itertools import product
from operator import itemgetter

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
from project.recognition.decoding import BEAM_WIDTH, best_path, prefix_beam_search
from project.recognition.recognizer import Reading, Recognizer, models_by_language
from project.training.languages import Language, has_lexicon, is_weighted, with_weights

LANGUAGE_MODEL_LINES = 200  # at most, spread over the validation split: it bounds the time
ENOUGH_LINES = 20  # to choose the weights of a language model by
CALIBRATION_LINES = 500  # at most, for the confidences, where a line is one outcome and not many characters
WEIGHTS = (0.2, 0.4, 0.6, 0.8)
BONUSES = (0.0, 1.0, 2.0, 3.0)
PENALTIES = (0.0, 1.5, 3.0)  # of a word that the lexicon lacks; the first where there is none
STEPS = (("weight", 0.1), ("weight", -0.1), ("bonus", 0.5), ("bonus", -0.5))  # that are tried last
NARROW_BEAM = 10  # beam width while weights are compared: faster, and it prefers the same ones
SUFFIXES = {"best_path": "", "beam": "_beam"}  # of the metrics, by decoder

Outcomes = tuple[np.ndarray, np.ndarray]  # confidences, and whether what they are about was right


def tuned(
    recognizer: Recognizer, languages: Iterable[Language], lines: Sequence[Line]
) -> tuple[Recognizer, dict[str, float], dict[str, Outcomes]]:
    """Return the recogniser with calibrated confidences and, if that lowers the CER, the one of `languages` to which
    the lines are the most probable; its metrics on the validation `lines` (fractions; ECE before and after); and the
    outcomes by decoder.
    """
    lines = spread(lines, CALIBRATION_LINES)
    log_probs = recognizer.log_probs([line.image for line in lines])
    some, some_log_probs = spread(lines, LANGUAGE_MODEL_LINES), spread(log_probs, LANGUAGE_MODEL_LINES)
    language = best_language_model(most_probable(languages, some), recognizer, some_log_probs, some)
    plain = dataclasses.replace(recognizer, language=language, calibrations={})
    figures: dict[str, float] = {}
    if language:
        model, *_ = models_by_language(language).values()  # all have the same weights
        figures |= {"lm_order": model.ngram.order, "lm_weight": model.weight, "lm_bonus": model.bonus}
        figures |= {"lm_penalty": model.penalty} if model.lexicon else {}
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


def most_probable(languages: Iterable[Language], lines: Sequence[Line]) -> Language:
    """Return the language model to which the lines are the most probable."""
    return max(languages, key=lambda language: sum(language.log_prob(line.labels) for line in lines))


def best_language_model(
    language: Language, recognizer: Recognizer, log_probs: Sequence[np.ndarray], lines: Sequence[Line]
) -> Language | None:
    """Return the language model with the weights that read the lines best; None if best path is as good without it.

    Fewer than `ENOUGH_LINES` lines would choose by chance: a model that has weights from its start keeps them.
    """
    if len(lines) < ENOUGH_LINES and is_weighted(language):
        return language
    texts = [line.text for line in lines]

    def cer(readings: Sequence[list[int]]) -> float:
        return metrics.cer(texts, [recognizer.charset.decode(labels) for labels in readings])

    def cer_with(weights: dict[str, float]) -> float:
        model = with_weights(language, **weights)
        return cer([prefix_beam_search(one, NARROW_BEAM, model.for_line(one))[0][0] for one in log_probs])

    def best_of(tried: Sequence[dict[str, float]]) -> tuple[float, dict[str, float]]:
        return min(((cer_with(weights), weights) for weights in tried), key=itemgetter(0))

    penalties = PENALTIES if has_lexicon(language) else PENALTIES[:1]
    lowest, best = best_of(
        [dict(zip(("weight", "bonus", "penalty"), one, strict=True)) for one in product(WEIGHTS, BONUSES, penalties)]
    )
    if has_lexicon(language):
        near_cer, near = best_of([best | {name: best[name] + step} for name, step in STEPS])
        lowest, best = (near_cer, near) if near_cer < lowest else (lowest, best)
    return with_weights(language, **best) if lowest < cer([best_path(one) for one in log_probs]) else None
