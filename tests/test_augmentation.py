import torch

from project.augmentation import augment


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
