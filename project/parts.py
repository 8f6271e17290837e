"""A batch is learnt from in parts, each on a thread or in a process of its own; what they learn is then put together.

A handful of lines is too little work to be shared by threads: they would wait for each other at every frame of an
LSTM. Batch norm takes each part by itself ("ghost batch norm", Hoffer, Hubara and Soudry 2017, arXiv 1705.08741,
section 4) and a part's chance is its own. So a training is the same, but for rounding, on any number of threads, and
of processes up to that of the parts.
"""

import copy
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import torch
from torch import nn

from project import processes
from project.crnn import CRNN


class Part:
    """A network with what it learns from its part of a batch, `learnt`, one vector of which these are views:
    `gradients` (weights,), of the weights that learn, the running `statistics` of batch norm (channels,), and `told`
    (2,), figures to be added up with them. And the `chance` by which the part's lines are varied.
    """

    def __init__(self, network: CRNN):
        self.network = network
        weights = [weight for weight in network.parameters() if weight.requires_grad]
        norms = [norm for norm in network.modules() if isinstance(norm, nn.BatchNorm2d)]
        statistics = [one for norm in norms for one in (norm.running_mean, norm.running_var)]
        sizes = [one.numel() for one in weights]
        gradients, told = weights[0].new_zeros(sum(sizes)), weights[0].new_zeros(2)
        self.learnt = torch.cat([gradients, *statistics, told])
        # `data`: autograd shall not take a new gradient for a change of the statistics, which it needs
        split = self.learnt.tensor_split([len(gradients), len(self.learnt) - len(told)])
        self.gradients, self.statistics, self.told = (one.data for one in split)
        self.chance = torch.Generator(self.learnt.device)
        for weight, own in zip(weights, self.gradients.split(sizes), strict=True):
            weight.grad = own.as_strided(weight.shape, weight.stride())
        views = iter(self.statistics.split([one.numel() for one in statistics]))
        for norm in norms:
            norm.running_mean, norm.running_var = next(views), next(views)

    def twin(self) -> "Part":
        """Another that learns: its network has the same weights, the tensors themselves."""
        network = copy.deepcopy(self.network)
        for weight, shared in zip(network.parameters(), self.network.parameters(), strict=True):
            weight.data, weight.grad = shared.data, None
        return Part(network)


def own_threads(number: int) -> None:
    """Give this thread so many of torch's, for good: at its first question it would take up what was last set for
    all, and that may be another number by then.
    """
    torch.get_num_threads()
    torch.set_num_threads(number)


@contextmanager
def threads(parts: int, device: torch.device) -> Iterator[ThreadPoolExecutor]:
    """As many threads as learn from so many parts at once: on a CPU, those of torch, shared out among the parts."""
    everyone = torch.get_num_threads()
    at_once = max(1, min(parts, everyone)) if device.type == "cpu" else 1
    try:
        with ThreadPoolExecutor(at_once, "part", own_threads, (everyone // at_once,)) as pool:
            yield pool
    finally:
        torch.set_num_threads(everyone)  # new threads would begin with the pool's number


@torch.no_grad()
def put_together(whole: Part, parts: Sequence[Part], count: int) -> None:
    """Give `whole` the sum of the gradients of all `count` parts, of which this process has `parts`, and of what they
    told, and the mean of their running statistics, which all go on from; the rest of the parts is 0 again.
    """
    first, *others = (part.learnt for part in parts)
    whole.learnt.copy_(first)
    for other in others:
        whole.learnt.add_(other)
    processes.summed_tensor(whole.learnt)
    whole.statistics.div_(count)
    for part in parts:
        part.learnt.zero_()
        part.statistics.copy_(whole.statistics)
