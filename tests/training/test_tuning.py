"""A recogniser that is as good as its log-probs: they are made here, right or wrong where the test needs it."""

import numpy as np
import pytest

from project.data.dataset import Line
from project.evaluation.metrics import cer
from project.recognition.calibration import expected_calibration_error
from project.recognition.charset import Charset
from project.recognition.decoding import LanguageModel
from project.recognition.network import CRNN
from project.recognition.ngram import NGram
from project.recognition.recognizer import Recognizer
from project.training import languages, tuning

TEXTS = ["the cat sat", "the hat", "that cat", "a fat cat ate", "the tea", "at the hat"]
CHARSET = Charset.from_texts(TEXTS)


@pytest.fixture(scope="module")
def recognizer():
    network = CRNN(len(CHARSET), channels=16, lstm_units=8, lstm_layers=1).eval()
    return Recognizer.from_network(network, CHARSET, height=16)


@pytest.fixture(scope="module")
def lines():
    rng = np.random.default_rng(0)
    images = (rng.integers(0, 256, (1, 16, 8 * len(text)), dtype=np.uint8) for text in TEXTS)
    return [Line(image, text, CHARSET.encode(text)) for image, text in zip(images, TEXTS, strict=True)]


def written(text, doubts, rng):
    """Log-probs (T, C) of a text, a blank after each character; in a share `doubts` of its characters something else
    is a little more probable.
    """
    rows = []
    for label in CHARSET.encode(text):
        row = np.full(len(CHARSET), 0.01)
        row[label] = 0.4 if rng.random() < doubts else 0.9
        row[rng.integers(1, len(CHARSET))] += 0.42 if row[label] == 0.4 else 0
        rows += [row, np.array([0.9, *[0.01] * (len(CHARSET) - 1)])]
    probabilities = np.array(rows)
    return np.log(probabilities / probabilities.sum(axis=1, keepdims=True))


def unweighted(texts, order):
    return LanguageModel(NGram.from_texts(texts, CHARSET, order), weight=1, bonus=0)


def test_a_language_model_that_helps_is_found(recognizer, lines):
    rng = np.random.default_rng(1)
    log_probs = [written(line.text, 0.4, rng) for line in lines]
    model = tuning.best_language_model(unweighted(TEXTS, 4), recognizer, log_probs, lines)
    plain, helped = ([recognizer.transcribe_line(one, "best_path", 10, 0).text for one in log_probs], [])
    for one in log_probs:
        with_model = Recognizer(recognizer.weights, CHARSET, 16, model)
        helped.append(with_model.transcribe_line(one, "beam", 10, 0).text)
    assert model.weight in tuning.WEIGHTS
    assert cer(TEXTS, helped) < cer(TEXTS, plain) / 2


def test_a_language_model_that_cannot_help_is_left_out(recognizer, lines):
    log_probs = [written(line.text, 0.0, np.random.default_rng(1)) for line in lines]
    assert tuning.best_language_model(unweighted(TEXTS, 4), recognizer, log_probs, lines) is None


def test_a_few_lines_do_not_change_the_weights_that_a_start_has(recognizer, lines):
    log_probs = [written(line.text, 0.0, np.random.default_rng(1)) for line in lines]
    known = languages.with_weights(unweighted(TEXTS, 4), weight=0.3, bonus=1.1)
    assert len(lines) < tuning.ENOUGH_LINES
    assert tuning.best_language_model(known, recognizer, log_probs, lines) is known
    many = lines * tuning.ENOUGH_LINES
    assert tuning.best_language_model(known, recognizer, log_probs * tuning.ENOUGH_LINES, many) is None


def test_the_order_is_the_one_to_which_validation_is_the_most_probable(lines):
    chosen = tuning.most_probable(languages.candidates(TEXTS, {}, CHARSET), lines)
    total = {order: sum(NGram.from_texts(TEXTS, CHARSET, order).log_prob(line.labels) for line in lines)
             for order in languages.ORDERS}  # fmt: skip
    assert chosen.ngram.order == max(total, key=total.get)


def test_a_language_model_that_is_known_already_stays_where_the_new_texts_say_less(lines):
    known, poor = unweighted(TEXTS, 4), unweighted(TEXTS[:1], 4)
    assert tuning.most_probable([known, *languages.candidates(TEXTS[:1], {}, CHARSET)], lines) is known
    assert tuning.most_probable([poor, *languages.candidates(TEXTS, {}, CHARSET)], lines) is not poor


def test_a_lexicon_counts_where_it_lowers_the_cer(recognizer, lines):
    rng = np.random.default_rng(1)
    log_probs = [written(line.text, 0.4, rng) for line in lines]
    (both,) = languages.candidates(TEXTS, {"english": TEXTS, "other": ["ttt ee", "ee"]}, CHARSET)
    models = tuning.best_language_model(both, recognizer, log_probs, lines).by_language
    assert {(model.weight, model.bonus, model.penalty) for model in models.values()} == {
        (models["english"].weight, models["english"].bonus, models["english"].penalty)
    }
    assert models["english"].penalty in tuning.PENALTIES


def test_a_tuned_recogniser_says_the_same_as_its_figures(recognizer, lines):
    tuned, figures, outcomes = tuning.tuned(recognizer, languages.candidates(TEXTS, {}, CHARSET), lines)
    images = [line.image for line in lines]
    for decoder, figure in (("best_path", "val_ece"), ("beam", "val_ece_beam")):
        readings = tuned.transcribe(images, decoder)
        right = [reading.text == line.text for reading, line in zip(readings, lines, strict=True)]
        sure = [reading.confidence for reading in readings]
        assert outcomes[decoder][0] == pytest.approx(sure, abs=1e-5)
        assert figures[figure] == pytest.approx(expected_calibration_error(sure, right), abs=1e-4)
    assert figures["val_cer_beam"] == cer(TEXTS, tuned.read(images, "beam"))
