"""Line images -> log-probs: a convolutional recurrent network (Shi, Bai and Yao 2015, arXiv 1507.05717).

Columns are max-pooled instead of flattened, and a second, convolutional CTC head (the CTC shortcut) helps
the features along in training and is not asked in inference: both from Retsinas et al. 2024, arXiv 2404.11339.
"""

from collections.abc import Mapping

import numpy as np
import torch
from torch import Tensor, nn

from project.recognition.batch import FRAME_WIDTH


class ConvBlock(nn.Module):
    """Convolution, max-pooling, batch norm, ReLU: (N, in, H, W) -> (N, out, H', W')."""

    def __init__(self, inputs: int, outputs: int, kernel: int = 3, stride: int = 1, pool: tuple[int, int] = (1, 1)):
        super().__init__()
        self.conv = nn.Conv2d(inputs, outputs, kernel, stride, padding=kernel // 2, bias=False)
        self.norm = nn.BatchNorm2d(outputs)
        self.pool = nn.MaxPool2d(pool) if pool != (1, 1) else nn.Identity()

    def forward(self, features: Tensor, input_lengths: Tensor, frames: int) -> Tensor:
        """What lies beyond a line's own frames is set to zero, so that it reads the same in any batch."""
        features = torch.relu(self.norm(self.pool(self.conv(features))))
        columns_a_frame = features.shape[3] // frames
        column = torch.arange(features.shape[3], device=features.device)
        return features * (column < columns_a_frame * input_lengths[:, None])[:, None, None]


class BidirectionalLSTM(nn.Module):
    """(T, N, F) -> (T, N, 2 * hidden), each line read from both of its own ends, whatever it is padded to.

    Two plain LSTMs, the second on reversed lines: torch's packed sequences give the same numbers, but in
    training on a CPU they take several times as long.
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
    """Dropout (Srivastava et al. 2014, section 4). share: to 1/256; a byte of chance decides on each number.

    `nn.functional.dropout` takes five times as long on a CPU, and knows one chance for all threads.
    """
    withheld = round(256 * share)
    if withheld == 0:
        return sequence
    eights = torch.empty(-(-sequence.numel() // 8), dtype=torch.int64, device=sequence.device)
    eights.random_(-(2**63), None, generator=generator)
    kept = eights.view(torch.uint8)[: sequence.numel()].view(sequence.shape).ge_(withheld)  # 1 or 0
    return sequence * kept.to(sequence.dtype) * (256 / (256 - withheld))


class CRNN(nn.Module):
    """A line recogniser for C classes, the blank included.

    channels: of the last convolution; the earlier ones have 1/4, 1/2 and 3/4 of it.
    lstm_units: of an LSTM, a direction. lstm_layers: how many bidirectional LSTMs are stacked.
    """

    def __init__(self, classes: int, channels: int, lstm_units: int, lstm_layers: int):
        super().__init__()
        self.shape = {"channels": channels, "lstm_units": lstm_units, "lstm_layers": lstm_layers}
        self.blocks = nn.ModuleList(
            [
                ConvBlock(1, channels // 4, kernel=5, stride=2),
                ConvBlock(channels // 4, channels // 2, pool=(2, 2)),
                ConvBlock(channels // 2, 3 * channels // 4, pool=(2, 1)),
                ConvBlock(3 * channels // 4, channels),
            ]
        )
        inputs = [channels] + [2 * lstm_units] * (lstm_layers - 1)
        self.lstms = nn.ModuleList(BidirectionalLSTM(size, lstm_units) for size in inputs)
        self.head = nn.Linear(2 * lstm_units, classes)
        self.shortcut = nn.Conv1d(channels, classes, kernel_size=3, padding=1)

    @classmethod
    def from_weights(cls, weights: Mapping[str, np.ndarray]) -> "CRNN":
        """The network, in evaluation mode, that has these weights, named as in `state_dict`."""
        classes, lstm_units = weights["head.weight"].shape[0], weights["lstms.0.onward.weight_hh_l0"].shape[1]
        lstm_layers = sum(name.endswith("onward.weight_hh_l0") for name in weights)
        network = cls(classes, weights["shortcut.weight"].shape[1], lstm_units, lstm_layers)
        network.load_state_dict({name: torch.tensor(weight) for name, weight in weights.items()})
        return network.to(memory_format=torch.channels_last).eval()

    def features(self, images: Tensor, widths: Tensor) -> tuple[Tensor, Tensor]:
        """(N, 1, H, W) in [0, 1] and true widths (N,) -> (N, F, T) and input_lengths (N,)."""
        assert images.shape[1:2] == (1,), f"expected (N, 1, H, W), got {tuple(images.shape)}"
        images = nn.functional.pad(images, (0, -images.shape[3] % FRAME_WIDTH))  # whole frames
        input_lengths = (widths + FRAME_WIDTH - 1) // FRAME_WIDTH  # (N,)
        features = images.contiguous(memory_format=torch.channels_last)
        for block in self.blocks:
            features = block(features, input_lengths, frames=images.shape[3] // FRAME_WIDTH)
        # (N, F, T): the strongest answer in each column; `amax` gives a gradient that is not channels_last, and slow
        return nn.functional.max_pool2d(features, (features.shape[2], 1)).squeeze(2), input_lengths

    def log_probs(
        self, features: Tensor, input_lengths: Tensor, dropout: float = 0, generator: torch.Generator | None = None
    ) -> Tensor:
        """(N, F, T) -> (T, N, C): what each frame says, read in the context of its line. dropout: the share of what
        the LSTMs and the head read that is withheld, by `generator`; for training only.
        """
        sequence = features.permute(2, 0, 1)  # (T, N, F)
        for lstm in self.lstms:
            sequence = lstm(drop_out(sequence, dropout, generator), input_lengths)  # (T, N, 2 * lstm_units)
        return self.head(drop_out(sequence, dropout, generator)).float().log_softmax(dim=2)

    def shortcut_log_probs(self, features: Tensor) -> Tensor:
        """(N, F, T) -> (T, N, C): the CTC shortcut's answer, from three frames at a time; for training only."""
        return self.shortcut(features).float().permute(2, 0, 1).log_softmax(dim=2)

    def forward(self, images: Tensor, widths: Tensor) -> tuple[Tensor, Tensor]:
        """(N, 1, H, W), (N,) -> log_probs (T, N, C) with the blank at 0, input_lengths (N,)."""
        features, input_lengths = self.features(images, widths)
        return self.log_probs(features, input_lengths), input_lengths
