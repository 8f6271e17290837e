import numpy as np
import torch

from project.recognition.batch import padded_width
from project.training.augmentation import augment, dilate, interpolation_matrix, sample_stretch


def strokes():
    images = torch.zeros(4, 1, 40, 200)
    images[:, :, 10:30, 20:180:16] = 1
    return images, torch.tensor([200, 200, 190, 100]), torch.tensor([1.0, 1.0, 1.15, 1.125])


def test_strength_0_leaves_the_batch_as_it_is():
    images, widths, stretch = strokes()
    varied, new_widths = augment(images, widths, stretch, strength=0)
    assert torch.equal(varied, images)
    assert torch.equal(new_widths, widths)
    assert (sample_stretch(5, 0, np.random.default_rng(0)) == 1).all()


def test_every_line_is_varied_by_itself_and_stays_a_line():
    torch.manual_seed(0)
    images, widths, stretch = strokes()
    for _ in range(20):
        varied, new_widths = augment(images, widths, stretch, strength=1)
        assert varied.shape == (4, 1, 40, padded_width(219))
        assert varied.min() >= 0
        assert varied.max() <= 1
        assert new_widths.tolist() == [200, 200, 219, 113]
        assert not torch.allclose(varied[0], varied[1])  # which are alike, and stretched alike
        assert 0.3 < varied.sum() / images.sum() < 3  # the ink is still there


def test_each_line_is_stretched_as_it_is_told_to_be():
    images, widths, stretch = strokes()
    varied, _ = augment(images, widths, stretch, strength=1e-4)
    for row, factor in zip(varied[:, 0, 20], stretch, strict=True):
        first, last = (row > 0.5).nonzero()[[0, -1]].flatten().tolist()
        assert abs(first - 20 * factor) < 2  # the columns of the first stroke and of the last
        assert abs(last - 164 * factor) < 2


def test_stretches_are_spread_evenly_over_what_the_strength_allows():
    logarithms = np.log(sample_stretch(10_000, 0.5, np.random.default_rng(0)))
    shares, _ = np.histogram(logarithms, bins=10, range=(-0.1, 0.1))
    assert shares.sum() == 10_000
    assert shares.min() > 800


def test_the_same_chance_gives_the_same_variation():
    first, again, other = (
        augment(*strokes(), strength=1, generator=torch.Generator().manual_seed(seed))[0] for seed in (3, 3, 4)
    )
    assert torch.equal(first, again)
    assert not torch.equal(first, other)


def test_ink_grows_by_a_pixel_on_all_sides():
    images = torch.rand(2, 1, 7, 9, generator=torch.Generator().manual_seed(0))
    assert torch.equal(dilate(images), torch.nn.functional.max_pool2d(images, 3, stride=1, padding=1))


def test_a_smooth_field_is_what_bicubic_interpolation_makes_of_its_points():
    points = torch.randn(1, 1, 4, 6, generator=torch.Generator().manual_seed(0))
    field = interpolation_matrix(4, 36, points.device).T @ points @ interpolation_matrix(6, 100, points.device)
    expected = torch.nn.functional.interpolate(points, size=(36, 100), mode="bicubic", align_corners=True)
    torch.testing.assert_close(field, expected, atol=1e-4, rtol=1e-4)
