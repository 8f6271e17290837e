"""Gradients -> weights: AdamW (Loshchilov and Hutter 2019, arXiv 1711.05101, algorithm 2), as torch has it.

`torch.optim.AdamW` calls the same function, but brings torch's compiler along: 150 MB, and most of a second.
"""

from collections.abc import Iterable

import torch
from torch import Tensor, nn
from torch.optim.adamw import adamw


class AdamW(nn.Module):
    """The trained weights, each with its number of steps and the running means of its gradients and their squares.

    weight_decay: times the learning rate, the share of every weight that a step takes away.
    """

    def __init__(self, weights: Iterable[nn.Parameter], weight_decay: float):
        super().__init__()
        self._weights: list[Tensor] = [weight for weight in weights if weight.requires_grad]
        self._weight_decay = weight_decay
        for number, weight in enumerate(self._weights):
            self.register_buffer(f"step_{number}", torch.zeros((), device=weight.device))
            self.register_buffer(f"mean_{number}", torch.zeros_like(weight))
            self.register_buffer(f"square_{number}", torch.zeros_like(weight))

    def _buffers_of(self, name: str) -> list[Tensor]:
        return [self.get_buffer(f"{name}_{number}") for number in range(len(self._weights))]

    @torch.no_grad()
    def step(self, learning_rate: float) -> None:
        """Change the weights by their `grad`."""
        gradients = [weight.grad for weight in self._weights if weight.grad is not None]
        assert len(gradients) == len(self._weights), "a weight has no gradient"
        means, squares, steps = map(self._buffers_of, ("mean", "square", "step"))
        adamw(
            self._weights, gradients, means, squares, [], steps, fused=True, lr=learning_rate,
            weight_decay=self._weight_decay, beta1=0.9, beta2=0.999, eps=1e-8, amsgrad=False, maximize=False,
        )  # fmt: skip
