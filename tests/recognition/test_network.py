import pytest
import torch

from project.recognition.batch import FRAME_WIDTH
from project.recognition.network import CRNN, drop_out


@pytest.fixture(scope="module")
def network():
    torch.manual_seed(0)
    return CRNN(classes=20, channels=32, lstm_units=16, lstm_layers=2).eval()


def lines(*widths, height=40):
    torch.manual_seed(1)
    return [torch.rand(1, height, width) for width in widths]


def padded(images):
    widest = max(image.shape[2] for image in images)
    return torch.stack([torch.nn.functional.pad(image, (0, widest - image.shape[2])) for image in images])


@torch.inference_mode()
def test_a_frame_is_four_pixels_and_holds_log_probabilities(network):
    log_probs, input_lengths = network(*(padded(lines(200, 157)), torch.tensor([200, 157])))
    assert log_probs.shape == (50, 2, 20)
    assert input_lengths.tolist() == [50, 40]  # 157 px are 39 whole frames and a quarter of one
    assert torch.allclose(log_probs.exp().sum(2), torch.ones(50, 2), atol=1e-5)
    assert FRAME_WIDTH == 4


@pytest.mark.parametrize("height", [24, 40, 64])
@torch.inference_mode()
def test_a_line_reads_the_same_alone_and_in_any_batch(network, height):
    images = lines(8, 61, 203, 300, height=height)
    widths = torch.tensor([image.shape[2] for image in images])
    together, input_lengths = network(padded(images), widths)
    for column, image in enumerate(images):
        alone, _ = network(image[None], widths[column : column + 1])
        assert torch.allclose(alone[:, 0], together[: input_lengths[column], column], atol=1e-5)


def test_both_heads_learn_and_the_shortcut_is_not_asked_in_inference(network):
    features, input_lengths = network.features(padded(lines(80)), torch.tensor([80]))
    assert network.shortcut_log_probs(features).shape == network.log_probs(features, input_lengths).shape
    network.zero_grad()
    network(padded(lines(80)), torch.tensor([80]))[0].sum().backward()
    assert network.shortcut.weight.grad is None
    assert network.head.weight.grad is not None


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_dropout_withholds_its_share_and_keeps_the_mean(dtype):
    sequence = torch.ones(70, 11, 131, dtype=dtype, requires_grad=True)
    some = drop_out(sequence, 0.25, torch.Generator().manual_seed(1))
    some.sum().backward()
    assert some.dtype == dtype
    assert some.unique().tolist() == pytest.approx([0, 4 / 3], rel=1e-2)
    assert some.float().mean().item() == pytest.approx(1, abs=0.01)
    assert torch.equal(sequence.grad, some)
    assert torch.equal(drop_out(sequence, 0.25, torch.Generator().manual_seed(1)), some)
    assert not torch.equal(drop_out(sequence, 0.25, torch.Generator().manual_seed(2)), some)
    assert drop_out(sequence, 0, None) is sequence


def test_a_wrong_shape_is_stopped_at_the_door(network):
    with pytest.raises(AssertionError, match=r"expected \(N, 1, H, W\)"):
        network(torch.zeros(1, 3, 40, 80), torch.tensor([80]))
