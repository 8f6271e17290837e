"""A batch is learnt from in parts, each on a thread or in a process of its own; what they learn is then put together.

A handful of lines is too little work to be shared by threads: they would wait for each other at every frame of an
LSTM. Batch norm takes each part by itself ("ghost batch norm", Hoffer, Hubara and Soudry 2017, arXiv 1705.08741,
section 4) and a part's generator is its own. So a training is the same, but for rounding, on any number of threads, and
of processes up to that of the parts.
"""

import copy
import os
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import TypeVar

import torch
import torch.distributed as dist
from torch import Tensor, nn

from project.recognition.network import CRNN

Told = TypeVar("Told")


@contextmanager
def process_group() -> Iterator[None]:
    """Meet the other processes that `torchrun` started; on GPUs each has its own and talks by NCCL, else by gloo."""
    if not dist.is_torchelastic_launched():
        yield
        return
    if torch.cuda.is_available():
        torch.cuda.set_device(int(os.environ["LOCAL_RANK"]))
    dist.init_process_group("nccl" if torch.cuda.is_available() else "gloo")
    try:
        yield
    finally:
        dist.destroy_process_group()


def world_size() -> int:
    """How many processes train together."""
    return dist.get_world_size() if dist.is_initialized() else 1


def rank() -> int:
    """Which of them this one is, from 0: the first is the one that writes files and talks to MLflow."""
    return dist.get_rank() if dist.is_initialized() else 0


def shard(items: Sequence) -> Sequence:
    """This process's part of `items`: every n-th of n processes."""
    return items[rank() :: world_size()]


def broadcast(told: Told) -> Told:
    """What the first process tells; what the others say does not matter."""
    box = [told]
    if world_size() > 1:
        dist.broadcast_object_list(box, src=0)
    return box[0]


def all_gather(told: Told) -> list[Told]:
    """What each process tells, in their order."""
    answers = [told] * world_size()
    if world_size() > 1:
        dist.all_gather_object(answers, told)
    return answers


def all_reduce(*numbers: float) -> list[float]:
    """Each number, summed over the processes; all of them get the same."""
    total = torch.tensor(numbers, dtype=torch.float64)
    if world_size() > 1 and torch.cuda.is_available():
        total = total.cuda()
    return all_reduce_tensor(total).tolist()


def all_reduce_tensor(total: Tensor) -> Tensor:
    """The same for a tensor of each process, in its place."""
    if world_size() > 1:
        dist.all_reduce(total)
    return total


class Replica:
    """A network with what it learns from its part of a batch, `learnt`, one vector of which these are views:
    `gradients` (weights,), of the weights that learn, the running `statistics` of batch norm (channels,), and `told`
    (2,), figures to be added up with them. And the `generator` by which the part's lines are varied.
    """

    def __init__(self, network: CRNN):
        self.network = network
        weights = [weight for weight in network.parameters() if weight.requires_grad]
        norms = [norm for norm in network.modules() if isinstance(norm, nn.BatchNorm2d)]
        statistics = [one for norm in norms for one in (norm.running_mean, norm.running_var)]
        sizes = [one.numel() for one in weights]
        gradients, told = weights[0].new_zeros(sum(sizes)), weights[0].new_zeros(2)
        self.buffer = torch.cat([gradients, *statistics, told])
        # `data`: autograd shall not take a new gradient for a change of the statistics, which it needs
        split = self.buffer.tensor_split([len(gradients), len(self.buffer) - len(told)])
        self.gradients, self.statistics, self.told = (one.data for one in split)
        self.generator = torch.Generator(self.buffer.device)
        for weight, own in zip(weights, self.gradients.split(sizes), strict=True):
            weight.grad = own.as_strided(weight.shape, weight.stride())
        views = iter(self.statistics.split([one.numel() for one in statistics]))
        for norm in norms:
            norm.running_mean, norm.running_var = next(views), next(views)

    def clone_sharing_weights(self) -> "Replica":
        """Another that learns: its network has the same weights, the tensors themselves."""
        network = copy.deepcopy(self.network)
        for weight, shared in zip(network.parameters(), self.network.parameters(), strict=True):
            weight.data, weight.grad = shared.data, None
        return Replica(network)


def set_intra_op_threads(number: int) -> None:
    """Give this thread so many of torch's, for good: at its first question it would take up what was last set for
    all, and that may be another number by then.
    """
    torch.get_num_threads()
    torch.set_num_threads(number)


@contextmanager
def replica_pool(parts: int, device: torch.device) -> Iterator[ThreadPoolExecutor]:
    """As many threads as learn from so many parts at once: on a CPU, those of torch, shared out among the parts."""
    everyone = torch.get_num_threads()
    at_once = max(1, min(parts, everyone)) if device.type == "cpu" else 1
    try:
        with ThreadPoolExecutor(at_once, "part", set_intra_op_threads, (everyone // at_once,)) as pool:
            yield pool
    finally:
        torch.set_num_threads(everyone)  # new threads would begin with the pool's number


@torch.no_grad()
def reduce_replicas(whole: Replica, parts: Sequence[Replica], count: int) -> None:
    """Give `whole` the sum of the gradients of all `count` parts, of which this process has `parts`, and of what they
    told, and the mean of their running statistics, which all go on from; the rest of the parts is 0 again.
    """
    first, *others = (part.buffer for part in parts)
    whole.buffer.copy_(first)
    for other in others:
        whole.buffer.add_(other)
    all_reduce_tensor(whole.buffer)
    whole.statistics.div_(count)
    for part in parts:
        part.buffer.zero_()
        part.statistics.copy_(whole.statistics)
