"""What a page adds to a line: on a toy batch, where each thing can be told from where the ink is."""

import pytest
import torch

from project.training import page_conditions
from project.training.page_conditions import CONDITIONS, add_page_conditions

HEIGHT, WIDTH = 20, 60


def chance(seed=0):
    return torch.Generator().manual_seed(seed)


@pytest.fixture
def batch():
    """Three lines of different greys, each a bar of ink in the middle rows."""
    images = torch.zeros(3, 1, HEIGHT, WIDTH)
    images[:, :, 6:14, 5:50] = torch.tensor([0.6, 0.8, 1.0]).view(3, 1, 1, 1)
    return images, torch.tensor([WIDTH] * 3)


def test_at_strength_0_nothing_changes(batch):
    images, widths = batch
    assert add_page_conditions(images, widths, 0) is images


def test_the_batch_itself_stays_as_it_was_and_the_same_chance_gives_the_same(batch):
    images, widths = batch
    before = images.clone()
    first, again = (add_page_conditions(images, widths, 2, chance(3)) for _ in range(2))
    assert torch.equal(images, before)
    assert torch.equal(first, again)
    assert not torch.equal(first, images)


@pytest.mark.parametrize(("side", "rows"), [(1, slice(0, 2)), (-1, slice(18, 20))])
def test_a_neighbour_reaches_in_from_its_own_side_only(batch, side, rows):
    images, _ = batch
    others = torch.roll(images, 1, 0)
    for seed in range(10):
        changed = page_conditions.neighbour(images, others, chance(seed), side)
        assert torch.equal(changed[:, :, 6:14], images[:, :, 6:14].maximum(changed[:, :, 6:14]))
        far = slice(14, 20) if side == 1 else slice(0, 6)
        assert torch.equal(changed[:, :, far], images[:, :, far])
    closest = page_conditions.neighbour(images, others, chance(4), side)
    assert {round(float(one), 1) for one in closest[:, :, rows].flatten().unique()} <= {0.0, 0.6, 0.8, 1.0}


@pytest.mark.parametrize("condition", [one for one, _ in CONDITIONS])
def test_each_condition_keeps_shape_and_range(batch, condition):
    images, widths = batch
    for seed in range(5):
        changed = condition(images, torch.roll(images, 1, 0), widths, chance(seed))
        assert changed.shape == images.shape
        assert 0 <= changed.min() <= changed.max() <= 1


def test_pencil_pales_and_all_else_adds_ink(batch):
    images, widths = batch
    for condition, _ in CONDITIONS:
        changed = condition(images, torch.roll(images, 1, 0), widths, chance(1))
        if condition is page_conditions.pencil:
            assert changed[images > 0].max() < 0.8
        else:
            assert (changed >= images).all()


def test_each_befalls_about_its_share_of_the_lines(monkeypatch):
    seen = []
    for condition, share in CONDITIONS:
        monkeypatch.setattr(page_conditions, "CONDITIONS", ((condition, share),))
        images = torch.rand(1000, 1, 24, 24, generator=chance()) / 4
        changed = add_page_conditions(images, torch.full((1000,), 24), 1, chance(1))
        seen.append((changed != images).flatten(1).any(dim=1).float().mean().item() / share)
    assert seen == pytest.approx([1] * len(CONDITIONS), abs=0.35)
