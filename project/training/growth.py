"""A trained network -> a larger one that reads the same, with room to learn more (Chen et al. 2016, "Net2Net", arXiv
1511.05641, do so by splitting units; here the new units are random, and weights from new to old units are 0).
"""

from collections.abc import Mapping

import torch
from torch import Tensor

from project.recognition.network import CRNN


@torch.no_grad()
def grow_weights(small: Mapping[str, Tensor], large: CRNN) -> dict[str, Tensor]:
    """Return the weights of `large`, with those of a smaller network of as many layers and classes put into them.

    Each unit of the small network is one of the large, with the same weights, and 0 for its inputs from new units.
    """
    grown = {name: weight.clone() for name, weight in large.state_dict().items()}
    for name, old in small.items():
        new = grown[name]
        if not old.dim():  # a counter
            new.copy_(old)
            continue
        kept = [torch.arange(size) for size in old.shape]
        if name.startswith("lstms"):
            kept[0] = in_blocks(old.shape[0], new.shape[0], 4)  # the gates of a unit lie apart
        if reads_lstm(name):
            kept[1] = in_blocks(old.shape[1], new.shape[1], 2)  # both directions of the LSTM before
        if old.dim() > 1:
            new[kept[0]] = 0
        new[torch.meshgrid(*kept, indexing="ij")] = old
    return grown


def reads_lstm(name: str) -> bool:
    """Return whether this matrix takes the outputs of both directions of an LSTM."""
    return name == "head.weight" or ("weight_ih" in name and not name.startswith("lstms.0."))


def in_blocks(old: int, new: int, blocks: int) -> Tensor:
    """Return where `old` entries, in so many equal blocks, lie among `new` ones: at the start of each block."""
    starts = torch.arange(blocks)[:, None] * (new // blocks)
    return (starts + torch.arange(old // blocks)).flatten()
