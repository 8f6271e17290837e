import numpy as np

from project.recognition.batch import batch, frames_of, padded_width, width_batches


def test_a_frame_is_four_pixels_and_the_last_may_be_a_part_of_one():
    assert frames_of(8) == 2
    assert frames_of(np.array([1, 4, 5, 157])).tolist() == [1, 1, 2, 40]


def test_a_batch_is_padded_with_paper_and_tells_true_widths():
    images = [np.full((1, 4, width), 255, dtype=np.uint8) for width in (3, 5)]
    padded, widths = batch(images)
    assert padded.shape == (2, 1, 4, 32)
    assert padded.dtype == np.float32
    assert widths.tolist() == [3, 5]
    assert padded[0, 0, 0].tolist() == [1, 1, 1] + [0] * 29


def test_width_batches_hold_every_line_once_within_the_budget():
    widths = np.random.default_rng(0).integers(10, 400, 300)
    for rng in (None, np.random.default_rng(1)):
        cut = width_batches(widths, 1000, rng)
        assert sorted(np.concatenate(cut)) == list(range(300))
        assert all(len(chosen) * widths[chosen].max() <= 1000 for chosen in cut)
    widest = [padded_width(widths[chosen].max()) for chosen in width_batches(widths, 1000)]
    assert widest == sorted(widest)


def test_a_line_wider_than_a_batch_comes_alone():
    assert [chosen.tolist() for chosen in width_batches([5, 5000, 6], 1000)] == [[0, 2], [1]]
