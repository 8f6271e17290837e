"""A trained network -> a larger one that reads the same, with room to learn more (Chen et al. 2016, "Net2Net", arXiv
1511.05641, do so by splitting units; here the new units are random, and the old ones do not hear them yet).
"""

from collections.abc import Mapping

import torch
from torch import Tensor

from project.recognition.network import CRNN


@torch.no_grad()
def grow_weights(small: Mapping[str, Tensor], large: CRNN) -> dict[str, Tensor]:
    """Return the weights of `large`, with those of a smaller network of as many layers and classes put into them.

    Each unit of the small network is one of the large, with its old inputs as before and 0 for what the new units say.
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
        if name.startswith(("lstms", "head")) and old.dim() == 2 and reads_lstm(name):
            kept[1] = in_blocks(old.shape[1], new.shape[1], 2)  # both directions of the LSTM before
        if old.dim() > 1:
            new[kept[0]] = 0
        new[torch.meshgrid(*kept, indexing="ij")] = old
    return grown


def reads_lstm(name: str) -> bool:
    """Tell whether this matrix multiplies what an LSTM says in both directions."""
    return name == "head.weight" or ("weight_ih" in name and not name.startswith("lstms.0."))


def in_blocks(old: int, new: int, blocks: int) -> Tensor:
    """Return where `old` entries, in so many equal blocks, lie among `new` ones: at the start of each block."""
    starts = torch.arange(blocks)[:, None] * (new // blocks)
    return (starts + torch.arange(old // blocks)).flatten()
