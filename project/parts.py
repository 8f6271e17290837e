"""A batch is learnt from in parts, each on a thread or in a process of its own; what they learn is then put together.

A handful of lines is too little work to be shared by threads: they would wait for each other at every frame of an
LSTM. Batch norm takes each part by itself ("ghost batch norm", Hoffer, Hubara and Soudry 2017, arXiv 1705.08741,
section 4) and a part's chance is its own. So a training is the same, but for rounding, on any number of threads, and
of processes up to that of the parts.
"""

import copy
from collections.abc import Sequence

import torch
from torch import nn

from project import processes
from project.crnn import CRNN


class Part:
    """A network with what it learns from its part of a batch: `gradients` (weights,), of the weights that learn, and
    the running `statistics` of batch norm (channels,), each in one vector of which the network's own are views. And
    the `chance` by which the part's lines are varied.
    """

    def __init__(self, network: CRNN):
        self.network = network
        weights = [weight for weight in network.parameters() if weight.requires_grad]
        norms = [norm for norm in network.modules() if isinstance(norm, nn.BatchNorm2d)]
        self.gradients = torch.zeros(sum(weight.numel() for weight in weights), device=weights[0].device)
        self.statistics = torch.cat([one for norm in norms for one in (norm.running_mean, norm.running_var)])
        self.chance = torch.Generator(self.gradients.device)
        for weight, own in zip(weights, self.gradients.split([one.numel() for one in weights]), strict=True):
            weight.grad = own.as_strided(weight.shape, weight.stride())
        channels = [norm.num_features for norm in norms for _ in range(2)]
        views = iter(self.statistics.split(channels))
        for norm in norms:
            norm.running_mean, norm.running_var = next(views), next(views)

    def twin(self) -> "Part":
        """Another that learns: its network has the same weights, the tensors themselves."""
        network = copy.deepcopy(self.network)
        for weight, shared in zip(network.parameters(), self.network.parameters(), strict=True):
            weight.data, weight.grad = shared.data, None
        return Part(network)


@torch.no_grad()
def put_together(whole: Part, parts: Sequence[Part], count: int, *numbers: float) -> list[float]:
    """Give `whole` the sum of the gradients of all `count` parts, of which this process has `parts`, and the mean of
    their running statistics, which all go on from; the parts' gradients are 0 again.

    Returns each of `numbers` summed over the processes.
    """
    own = [sum(part.gradients for part in parts), sum(part.statistics for part in parts)]
    own.append(torch.tensor(numbers, device=whole.gradients.device))
    total = processes.summed_tensor(torch.cat(own))
    gradients, statistics, told = total.split([len(one) for one in own])
    whole.gradients.copy_(gradients)
    for one in (whole, *parts):
        one.statistics.copy_(statistics / count)
    for part in parts:
        part.gradients.zero_()
    return told.tolist()
