import json

import numpy as np
import pytest
import torch

from project.charset import Charset
from project.crnn import CRNN
from project.decoding import best_path
from project.recognizer import Recognizer, answer, pictures_of


@pytest.fixture(scope="module")
def recognizer():
    torch.manual_seed(0)
    charset = Charset("abcdé ")
    return Recognizer.of(CRNN(len(charset), width=32, hidden=16, layers=1).eval(), charset, height=32)


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


def test_lines_are_answered_in_their_order_whatever_the_batches(recognizer, pictures):
    images = [recognizer.line_image(picture) for picture in pictures]
    together = recognizer.log_probs(images)
    for image, log_probs in zip(images, together, strict=True):
        assert np.allclose(recognizer.log_probs([image])[0], log_probs, atol=1e-5)
        assert len(log_probs) == -(-image.shape[2] // 4)


def test_no_lines_have_no_answers(recognizer):
    assert recognizer.read([]) == []


def test_an_answer_is_a_full_list_in_which_shorter_lines_go_on_with_blanks(recognizer, pictures):
    images = [recognizer.line_image(picture) for picture in pictures]
    log_probs = recognizer.log_probs(images)
    answered = np.array(answer(log_probs))
    assert answered.shape == (4, max(map(len, log_probs)), 7)
    for line, exact in zip(answered, log_probs, strict=True):
        assert best_path(line) == best_path(exact)
        assert np.allclose(line[: len(exact)], exact, atol=6e-4)
    assert json.loads(json.dumps(answer(log_probs)))


def test_pixels_come_back_as_pictures():
    pixels = np.arange(2 * 8 * 9).reshape(2, 1, 8, 9) % 256
    pictures = pictures_of(pixels.astype(np.float32))
    assert [picture.dtype for picture in pictures] == [np.uint8] * 2
    assert np.array_equal(pictures[1], pixels[1, 0])


@pytest.mark.parametrize(
    ("pixels", "words"),
    [
        (np.zeros((1, 40, 40)), r"got shape \(1, 40, 40\)"),
        (np.zeros((0, 1, 40, 40)), r"got shape \(0, 1, 40, 40\)"),
        (np.zeros((1, 3, 40, 40)), r"got shape \(1, 3, 40, 40\)"),
        (np.zeros((1, 1, 40, 7)), "H and W >= 8"),
        (np.full((1, 1, 8, 8), np.nan), "finite"),
        (np.full((1, 1, 8, 8), np.inf), "finite"),
        (np.full((1, 1, 8, 8), 256.0), "got 256 to 256"),
        (np.full((1, 1, 8, 8), -0.5), "got -0.5 to -0.5"),
    ],
)
def test_what_is_no_picture_is_refused_in_words(pixels, words):
    with pytest.raises(ValueError, match=words):
        pictures_of(pixels)
