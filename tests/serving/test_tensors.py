import json

import numpy as np
import pytest

from project.recognition.decoding import best_path
from project.serving.tensors import pad, split_pixels


def test_log_probs_are_sent_as_a_full_array_in_which_shorter_lines_go_on_with_blanks():
    rng = np.random.default_rng(0)
    log_probs = [np.log(rng.dirichlet(np.ones(7), frames)).astype(np.float32) for frames in (75, 10, 43, 11)]
    answered = pad(log_probs)
    assert answered.shape == (4, 75, 7)
    for line, exact in zip(answered, log_probs, strict=True):
        assert best_path(line) == best_path(exact)
        assert np.allclose(line[: len(exact)], exact, atol=6e-4)
    assert json.loads(json.dumps(answered.tolist())) == answered.tolist()


def test_pixels_come_back_as_pictures():
    pixels = np.arange(2 * 8 * 9).reshape(2, 1, 8, 9) % 256
    pictures = split_pixels(pixels.astype(np.float32))
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
        (np.linspace(0, 0.9, 64).reshape(1, 1, 8, 8), "got at most 0.9: multiply by 255"),
    ],
)
def test_what_is_no_picture_is_refused_in_words(pixels, words):
    with pytest.raises(ValueError, match=words):
        split_pixels(pixels)


def test_lists_are_read_as_arrays_are():
    for pixels in (np.arange(72).reshape(1, 1, 8, 9) * 3, np.linspace(0, 254.9, 144).reshape(2, 1, 8, 9)):
        for from_list, from_array in zip(split_pixels(pixels.tolist()), split_pixels(pixels), strict=True):
            assert np.array_equal(from_list, from_array)


@pytest.mark.parametrize(
    ("rows", "words"),
    [
        ([[0] * 8] * 7 + [[0] * 9], "lists of equal length"),
        ([[0] * 8] * 7 + [10**9], "lists of equal length"),  # not so many zeros
        ([[0] * 8] * 7 + [[]], "lists of equal length"),
        ([[0] * 8] * 7 + [[None] * 8], "must be numbers"),
        ([[0] * 8] * 7 + ["a" * 8], "and not texts"),
        ([[0] * 8] * 7 + [[0] * 7 + [256]], "got 0 to 256"),
        ([[]] * 8, r"got shape \(1, 1, 8, 0\)"),
        ([8] * 8, r"got shape \(1, 1, 8\)"),
        (8, r"got shape \(1, 1\)"),
        ("8", "and not texts"),
        ({"8": 8}, "must be numbers"),
        ([[0, 1] * 4] * 8, "multiply by 255"),
    ],
)
def test_lists_that_are_no_picture_are_refused_in_words(rows, words):
    with pytest.raises(ValueError, match=words):
        split_pixels([[rows]])
