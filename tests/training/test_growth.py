"""A grown network answers as the small one did."""

import pytest
import torch

from project.recognition.network import CRNN
from project.training.growth import grow_weights, in_blocks


def test_blocks_on_paper():
    assert in_blocks(4, 8, 2).tolist() == [0, 1, 4, 5]  # of two blocks of 4, the first two of each
    assert in_blocks(3, 3, 1).tolist() == [0, 1, 2]


@pytest.mark.parametrize(("channels", "units", "layers"), [(16, 8, 1), (24, 8, 2), (16, 12, 2), (24, 12, 3)])
def test_a_grown_network_answers_as_the_small_one(channels, units, layers):
    torch.manual_seed(0)
    small = CRNN(5, channels=16, lstm_units=8, lstm_layers=layers).train()
    images, widths = torch.rand(3, 1, 24, 80), torch.tensor([80, 64, 50])
    for _ in range(3):
        small(images, widths)  # the statistics of batch norm
    large = CRNN(5, channels=channels, lstm_units=units, lstm_layers=layers)
    large.load_state_dict(grow_weights(small.state_dict(), large))
    with torch.no_grad():
        expected, grown = (network.eval()(images, widths)[0] for network in (small, large))
    assert torch.allclose(grown, expected, atol=1e-5)


def test_new_units_are_learnt_from_at_once():
    torch.manual_seed(0)
    small = CRNN(5, channels=16, lstm_units=8, lstm_layers=2)
    large = CRNN(5, channels=24, lstm_units=12, lstm_layers=2)
    large.load_state_dict(grow_weights(small.state_dict(), large))
    log_probs, _ = large(torch.rand(2, 1, 24, 80), torch.tensor([80, 80]))
    log_probs[:, :, 1].sum().backward()
    assert large.head.weight.grad[:, 8:12].abs().min() > 0
