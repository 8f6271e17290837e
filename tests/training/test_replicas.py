"""Two parts with one line each, against the same two lines in one batch."""

import pytest
import torch
from torch.optim import SGD

from project.recognition.network import CRNN
from project.training.parallel import Replica, reduce_replicas

WIDTHS = torch.tensor([60, 48])


@pytest.fixture
def whole():
    torch.manual_seed(0)
    return Replica(CRNN(classes=9, channels=16, lstm_units=8, lstm_layers=1).to(memory_format=torch.channels_last))


def images():
    torch.manual_seed(1)
    return torch.rand(2, 1, 36, 60)


def loss(network, rows):
    log_probs, _ = network(images()[rows], WIDTHS[rows])
    return log_probs.square().sum()


def learnt(whole, parts):
    for row, part in enumerate(parts):
        loss(part.network, [row]).backward()
    reduce_replicas(whole, parts, len(parts))


def test_the_gradients_of_the_parts_add_up_to_those_of_the_batch(whole):
    for norm in (module for module in whole.network.modules() if isinstance(module, torch.nn.BatchNorm2d)):
        norm.eval()  # so that the lines do not meet in batch norm
    parts = [whole.clone_sharing_weights(), whole.clone_sharing_weights()]
    learnt(whole, parts)
    for weight, together in zip(
        whole.network.parameters(), torch.autograd.grad(loss(whole.network, [0, 1]), whole.network.parameters(),
        allow_unused=True, materialize_grads=True), strict=True,
    ):  # fmt: skip
        torch.testing.assert_close(weight.grad, together, rtol=1e-4, atol=1e-4)
    assert not parts[0].gradients.any()


def test_a_part_that_had_no_lines_adds_nothing(whole):
    parts = [whole.clone_sharing_weights(), whole.clone_sharing_weights()]
    learnt(whole, parts)
    loss(parts[0].network, [0]).backward()
    alone = parts[0].gradients.clone()
    reduce_replicas(whole, parts, 2)
    assert torch.equal(whole.gradients, alone)


def test_a_step_of_the_whole_is_a_step_of_each_part(whole):
    parts = [whole.clone_sharing_weights(), whole.clone_sharing_weights()]
    before = loss(parts[1].network, [1]).item()
    learnt(whole, parts)
    SGD(whole.network.parameters(), lr=1e-4).step()
    assert loss(parts[1].network, [1]).item() < before
    for weight, shared in zip(parts[0].network.parameters(), whole.network.parameters(), strict=True):
        assert weight.data_ptr() == shared.data_ptr()


def test_running_statistics_are_the_mean_of_the_parts(whole):
    parts = [whole.clone_sharing_weights(), whole.clone_sharing_weights()]
    for row, part in enumerate(parts):
        loss(part.network, [row])
    own = [part.network.blocks[0].norm.running_mean.clone() for part in parts]
    assert not torch.allclose(own[0], own[1])
    reduce_replicas(whole, parts, 2)
    for one in (whole, *parts):
        torch.testing.assert_close(one.network.blocks[0].norm.running_mean, (own[0] + own[1]) / 2)


def test_weights_that_do_not_learn_have_no_gradient(whole):
    whole.network.shortcut.requires_grad_(False)
    part = Replica(whole.network).clone_sharing_weights()
    assert len(part.gradients) == sum(weight.numel() for weight in part.network.parameters() if weight.requires_grad)
    assert part.network.shortcut.weight.grad is None
