"""Line images -> log-probs: a convolutional recurrent network (Shi, Bai and Yao 2015, arXiv 1507.05717).

Columns are max-pooled instead of flattened, and a second, convolutional CTC head (the CTC shortcut) helps
the features along in training and is left out in inference: both from Retsinas et al. 2024, arXiv 2404.11339.
"""

from collections.abc import Mapping
from itertools import pairwise

import numpy as np
import torch
from torch import Tensor, nn

from project.recognition.architecture import BLOCKS
from project.recognition.batch import FRAME_WIDTH, frames_of


class ConvBlock(nn.Module):
    """Convolution, max-pooling, batch norm, ReLU: (N, in, H, W) -> (N, out, H', W')."""

    def __init__(self, inputs: int, outputs: int, kernel: int, stride: int, pool: tuple[int, int]):
        super().__init__()
        self.conv = nn.Conv2d(inputs, outputs, kernel, stride, padding=kernel // 2, bias=False)
        self.norm = nn.BatchNorm2d(outputs)
        self.pool = nn.MaxPool2d(pool) if pool != (1, 1) else nn.Identity()

    def forward(self, features: Tensor, input_lengths: Tensor, frames: int) -> Tensor:
        """Return the features, set to zero beyond each line's own frames, so that it reads the same in any batch."""
        features = torch.relu(self.norm(self.pool(self.conv(features))))
        columns_a_frame = features.shape[3] // frames
        column = torch.arange(features.shape[3], device=features.device)
        return features * (column < columns_a_frame * input_lengths[:, None])[:, None, None]


class BidirectionalLSTM(nn.Module):
    """(T, N, F) -> (T, N, 2 * hidden), each line read from both of its own ends, whatever it is padded to.

    Two plain LSTMs, the second on reversed lines: torch's packed sequences compute the same, but training with them
    on a CPU takes several times as long. The names of the two are those of the weights in saved models.
    """

    def __init__(self, inputs: int, hidden: int):
        super().__init__()
        self.onward = nn.LSTM(inputs, hidden)
        self.backward_ = nn.LSTM(inputs, hidden)

    def forward(self, sequence: Tensor, input_lengths: Tensor) -> Tensor:
        frame = torch.arange(len(sequence), device=sequence.device)[:, None]  # (T, 1)
        mirrored = input_lengths - 1 - frame  # (T, N)
        mirrored = torch.where(mirrored >= 0, mirrored, frame)  # padding stays where it is
        line = torch.arange(sequence.shape[1], device=sequence.device)
        place = (mirrored * len(line) + line).flatten()  # (T * N,): `gather` takes four times as long in training

        def reverse(frames: Tensor) -> Tensor:
            return frames.flatten(0, 1).index_select(0, place).view_as(frames)

        return torch.cat([self.onward(sequence)[0], reverse(self.backward_(reverse(sequence))[0])], dim=2)


def drop_out(sequence: Tensor, share: float, generator: torch.Generator | None) -> Tensor:
    """Set a share of the numbers to zero and scale up the rest: dropout (Srivastava et al. 2014, section 4).

    share: 0 to 1, rounded to 1/256; a random byte decides on each number. `nn.functional.dropout` takes five times as
    long on a CPU, and has one generator for all threads.
    """
    dropped = round(256 * share)  # of 256
    if dropped == 0:
        return sequence
    words = torch.empty(-(-sequence.numel() // 8), dtype=torch.int64, device=sequence.device)  # 8 bytes each
    words.random_(-(2**63), None, generator=generator)
    kept = words.view(torch.uint8)[: sequence.numel()].view(sequence.shape).ge_(dropped)  # 1 or 0
    return sequence * kept.to(sequence.dtype) * (256 / (256 - dropped))


class CRNN(nn.Module):
    """A line recogniser for C classes, the blank included.

    channels: outputs of the last convolution; the earlier ones have 1/4, 1/2 and 3/4 of it.
    lstm_units: of each direction of an LSTM. lstm_layers: how many bidirectional LSTMs are stacked.
    """

    def __init__(self, classes: int, channels: int, lstm_units: int, lstm_layers: int):
        super().__init__()
        self.shape = {"channels": channels, "lstm_units": lstm_units, "lstm_layers": lstm_layers}
        sizes = [1, *(block.quarters * channels // 4 for block in BLOCKS)]
        self.blocks = nn.ModuleList(
            ConvBlock(inputs, outputs, block.kernel, block.stride, block.pool)
            for (inputs, outputs), block in zip(pairwise(sizes), BLOCKS, strict=True)
        )
        inputs = [channels] + [2 * lstm_units] * (lstm_layers - 1)
        self.lstms = nn.ModuleList(BidirectionalLSTM(size, lstm_units) for size in inputs)
        self.head = nn.Linear(2 * lstm_units, classes)
        self.shortcut = nn.Conv1d(channels, classes, kernel_size=3, padding=1)

    @classmethod
    def from_weights(cls, weights: Mapping[str, np.ndarray]) -> "CRNN":
        """Build the network, in evaluation mode, from weights named as in `state_dict`."""
        classes, lstm_units = weights["head.weight"].shape[0], weights["lstms.0.onward.weight_hh_l0"].shape[1]
        lstm_layers = sum(name.endswith("onward.weight_hh_l0") for name in weights)
        network = cls(classes, weights["shortcut.weight"].shape[1], lstm_units, lstm_layers)
        network.load_state_dict({name: torch.tensor(weight) for name, weight in weights.items()})
        return network.to(memory_format=torch.channels_last).eval()

    def features(self, images: Tensor, widths: Tensor) -> tuple[Tensor, Tensor]:
        """Compute features (N, F, T) and input_lengths (N,) of images (N, 1, H, W) in [0, 1] and true widths (N,)."""
        assert images.shape[1:2] == (1,), f"expected (N, 1, H, W), got {tuple(images.shape)}"
        images = nn.functional.pad(images, (0, -images.shape[3] % FRAME_WIDTH))  # whole frames
        input_lengths = frames_of(widths)  # (N,)
        features = images.contiguous(memory_format=torch.channels_last)
        for block in self.blocks:
            features = block(features, input_lengths, frames=frames_of(images.shape[3]))
        # (N, F, T): the maximum of each column; `amax` gives a gradient that is not channels_last, and slow
        return nn.functional.max_pool2d(features, (features.shape[2], 1)).squeeze(2), input_lengths

    def log_probs(
        self, features: Tensor, input_lengths: Tensor, dropout: float = 0, generator: torch.Generator | None = None
    ) -> Tensor:
        """Compute log-probs (T, N, C) from features (N, F, T) by the LSTMs and the head.

        dropout: the share, 0 to 1, of their inputs that is set to zero, drawn from `generator`; for training only.
        """
        sequence = features.permute(2, 0, 1)  # (T, N, F)
        for lstm in self.lstms:
            sequence = lstm(drop_out(sequence, dropout, generator), input_lengths)  # (T, N, 2 * lstm_units)
        return self.head(drop_out(sequence, dropout, generator)).float().log_softmax(dim=2)

    def shortcut_log_probs(self, features: Tensor) -> Tensor:
        """Compute log-probs (T, N, C) by the CTC shortcut, each from three frames of features (N, F, T)."""
        return self.shortcut(features).float().permute(2, 0, 1).log_softmax(dim=2)

    def forward(self, images: Tensor, widths: Tensor) -> tuple[Tensor, Tensor]:
        """Compute log_probs (T, N, C), blank at 0, and input_lengths (N,) of images (N, 1, H, W) and widths (N,)."""
        features, input_lengths = self.features(images, widths)
        return self.log_probs(features, input_lengths), input_lengths
