import dataclasses
import json

import numpy as np
import pytest
import safetensors.numpy
import torch

from project.recognition.calibration import Calibration
from project.recognition.charset import Charset
from project.recognition.decoding import DECODERS, LanguageModel, LanguageModels
from project.recognition.lexicon import Lexicon
from project.recognition.network import CRNN
from project.recognition.ngram import NGram
from project.recognition.recognizer import Recognizer


@pytest.fixture(scope="module")
def recognizer():
    torch.manual_seed(0)
    charset = Charset("abcdé ")
    return Recognizer.from_network(
        CRNN(len(charset), channels=32, lstm_units=16, lstm_layers=1).eval(), charset, height=32
    )


@pytest.fixture(scope="module")
def pictures():
    rng = np.random.default_rng(0)
    return [rng.integers(0, 256, (40, width), dtype=np.uint8) for width in (300, 40, 170, 41)]


def test_what_is_saved_comes_back_the_same(recognizer, pictures, tmp_path):
    recognizer.save(tmp_path)
    assert {path.name for path in tmp_path.iterdir()} == {"weights.safetensors", "recognizer.json"}
    assert json.loads((tmp_path / "recognizer.json").read_text("utf-8"))["charset"] == "abcdé "
    loaded = Recognizer.load(tmp_path)
    images = [loaded.line_image(picture) for picture in pictures]
    for kept, expected in zip(loaded.log_probs(images), recognizer.log_probs(images), strict=True):
        assert np.allclose(kept, expected, atol=1e-6)


@pytest.fixture(scope="module")
def tuned(recognizer):
    """The same with a language model, and with confidences that are half as sure."""
    language = LanguageModel(NGram.from_texts(["abba", "bad cab", "é"], recognizer.charset, order=3), 0.5, 1.0)
    calibrations = {decoder: Calibration(line=0.5, character=0.5) for decoder in DECODERS}
    return dataclasses.replace(recognizer, language=language, calibrations=calibrations)


def test_a_language_model_and_a_calibration_are_saved_with_it(tuned, pictures, tmp_path):
    tuned.save(tmp_path)
    assert (tmp_path / "language.safetensors").exists()
    assert len({path.stat().st_mode for path in tmp_path.iterdir()}) == 1  # who may read one, may read all
    loaded = Recognizer.load(tmp_path)
    images = [loaded.line_image(picture) for picture in pictures]
    for decoder in DECODERS:
        readings = tuned.transcribe(images, decoder, alternatives=2)
        assert loaded.transcribe(images, decoder, alternatives=2) == readings
        assert loaded.read(images, decoder) == [reading.text for reading in readings]


def test_the_models_of_several_languages_are_saved_with_it_and_old_files_go(tuned, pictures, tmp_path):
    tuned.save(tmp_path)
    (tmp_path / "ngram.safetensors").touch()  # of an earlier version
    charset = tuned.charset
    models = {
        name: LanguageModel(NGram.from_texts(texts, charset, 3), 0.5, 1.0, Lexicon.from_texts(texts, charset), 2.0)
        for name, texts in (("one", ["abba", "bad"]), ("other", ["cab", "\u00e9"]))
    }
    several = dataclasses.replace(tuned, language=LanguageModels(models))
    several.save(tmp_path)
    assert {path.name for path in tmp_path.glob("*.safetensors")} == {
        "weights.safetensors", "language-one.safetensors", "language-other.safetensors"
    }  # fmt: skip
    loaded = Recognizer.load(tmp_path)
    images = [loaded.line_image(picture) for picture in pictures]
    assert loaded.transcribe(images, "beam") == several.transcribe(images, "beam")
    assert [model.lexicon.words for model in loaded.language.by_language.values()] == [
        ("abba", "bad"),
        ("cab", "\u00e9"),
    ]


def test_weights_can_be_stored_as_float16_and_are_computed_with_as_float32(recognizer, pictures, tmp_path):
    recognizer.save(tmp_path, half=True)
    stored = safetensors.numpy.load_file(tmp_path / "weights.safetensors")
    assert stored["head.weight"].dtype == np.float16
    assert stored["blocks.0.norm.running_var"].dtype == np.float32
    loaded = Recognizer.load(tmp_path)
    assert {weight.dtype for weight in loaded.weights.values()} <= {np.dtype(np.float32), np.dtype(np.int64)}
    images = [loaded.line_image(picture) for picture in pictures]
    for kept, expected in zip(loaded.log_probs(images), recognizer.log_probs(images), strict=True):
        assert np.allclose(kept, expected, atol=0.02)


@pytest.mark.parametrize("decoder", DECODERS)
def test_what_a_line_may_say_has_probabilities_that_do_not_exceed_one(recognizer, tuned, pictures, decoder):
    boasting = dataclasses.replace(tuned, calibrations={decoder: Calibration(line=20)})
    held_back = dataclasses.replace(tuned, calibrations={decoder: Calibration(line=2, power=0.5)})
    for reader in (recognizer, tuned, boasting, held_back):
        for picture in pictures:
            (reading,) = reader.transcribe([reader.line_image(picture)], decoder, alternatives=4)
            sure = [reading.confidence, *(confidence for _, confidence in reading.alternatives)]
            assert min(sure) >= 0
            assert sum(sure) <= 1 + 1e-9
            first = 1 if decoder == "best_path" or reader is boasting else 0  # that may be less probable than another
            assert sure[first:] == sorted(sure[first:], reverse=True)
            assert len({reading.text, *(text for text, _ in reading.alternatives)}) == 5


@pytest.mark.parametrize("decoder", DECODERS)
def test_the_characters_of_a_reading_stand_in_its_order_within_the_line_image(recognizer, pictures, decoder):
    for picture in pictures:
        image = recognizer.line_image(picture)
        (reading,) = recognizer.transcribe([image], decoder, beam_width=5)
        assert "".join(character.text for character in reading.characters) == reading.text
        edges = [edge for character in reading.characters for edge in (character.start, character.stop)]
        assert edges == sorted(edges)
        assert all(character.start < character.stop for character in reading.characters)
        assert all(0 <= character.confidence <= 1 for character in reading.characters)
        assert not edges or edges[-1] <= image.shape[2] + 4


def test_a_calibration_changes_how_sure_a_reading_is_and_not_what_it_says(recognizer, pictures):
    calibrated = dataclasses.replace(recognizer, calibrations={"best_path": Calibration(line=0.5, character=0.25)})
    images = [recognizer.line_image(picture) for picture in pictures]
    for plain, sober in zip(recognizer.transcribe(images), calibrated.transcribe(images), strict=True):
        assert sober.text == plain.text
        assert sober.confidence == pytest.approx(plain.confidence**2)
        assert [c.confidence for c in sober.characters] == pytest.approx([c.confidence**4 for c in plain.characters])


def test_lines_are_answered_in_their_order_whatever_the_batches(recognizer, pictures):
    images = [recognizer.line_image(picture) for picture in pictures]
    together = recognizer.log_probs(images)
    for image, log_probs in zip(images, together, strict=True):
        assert np.allclose(recognizer.log_probs([image])[0], log_probs, atol=1e-5)
        assert len(log_probs) == -(-image.shape[2] // 4)


def test_no_lines_have_no_answers(recognizer):
    assert recognizer.read([]) == []
