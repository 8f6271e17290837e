import torch

from project.augmentation import augment, grown, smooth


def strokes():
    images = torch.zeros(4, 1, 40, 200)
    images[:, :, 10:30, 20:180:16] = 1
    return images, torch.tensor([200, 190, 150, 100])


def test_strength_0_leaves_the_batch_as_it_is():
    images, widths = strokes()
    varied, new_widths = augment(images, widths, strength=0)
    assert torch.equal(varied, images)
    assert torch.equal(new_widths, widths)


def test_every_line_is_varied_by_itself_and_stays_a_line():
    torch.manual_seed(0)
    images, widths = strokes()
    for _ in range(20):
        varied, new_widths = augment(images, widths, strength=1)
        assert varied.shape[:3] == images.shape[:3]
        assert varied.min() >= 0
        assert varied.max() <= 1
        assert 0.75 < varied.shape[3] / 200 < 1.35
        assert new_widths[0] <= varied.shape[3]
        assert torch.allclose(new_widths / widths, torch.full((4,), varied.shape[3] / 200), atol=0.02)
        assert not torch.allclose(varied[0], varied[1])
        assert 0.3 < varied.sum() / images.sum() < 3  # the ink is still there


def test_the_same_chance_gives_the_same_variation():
    images, widths = strokes()
    first, again, other = (
        augment(images, widths, strength=1, chance=torch.Generator().manual_seed(seed))[0] for seed in (3, 3, 4)
    )
    assert torch.equal(first, again)
    assert first.shape != other.shape or not torch.equal(first, other)


def test_ink_grows_by_a_pixel_on_all_sides():
    images = torch.rand(2, 1, 7, 9, generator=torch.Generator().manual_seed(0))
    assert torch.equal(grown(images), torch.nn.functional.max_pool2d(images, 3, stride=1, padding=1))


def test_a_smooth_field_is_what_bicubic_interpolation_makes_of_its_points():
    points = torch.randn(1, 1, 4, 6, generator=torch.Generator().manual_seed(0))
    field = smooth(4, 36, points.device).T @ points @ smooth(6, 100, points.device)
    expected = torch.nn.functional.interpolate(points, size=(36, 100), mode="bicubic", align_corners=True)
    torch.testing.assert_close(field, expected, atol=1e-4, rtol=1e-4)
