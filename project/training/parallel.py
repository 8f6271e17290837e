"""Data parallelism over threads and processes: each replica computes the gradients of a micro-batch; they are summed.

A handful of lines is too little work to be shared by threads: they would wait for each other at every frame of an
LSTM. Batch norm takes each micro-batch by itself ("ghost batch norm", Hoffer, Hubara and Soudry 2017, arXiv
1705.08741, section 4), and each replica has a random generator of its own. So a training is the same, but for rounding,
on any number of threads, and of processes up to that of the micro-batches.
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

Item = TypeVar("Item")


# ----------------------------------------------------------------------------------------------------- processes


@contextmanager
def process_group() -> Iterator[None]:
    """Join the processes that `torchrun` started: by NCCL on GPUs, one each, else by gloo. Alone, do nothing."""
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
    """Return the number of processes that train together."""
    return dist.get_world_size() if dist.is_initialized() else 1


def rank() -> int:
    """Return the number of this process among them; 0 is the one that writes files and talks to MLflow."""
    return dist.get_rank() if dist.is_initialized() else 0


def shard(items: Sequence[Item]) -> Sequence[Item]:
    """Return this process's share of `items`: every n-th, where there are n processes."""
    return items[rank() :: world_size()]


def broadcast(item: Item) -> Item:
    """Return the `item` of process 0, in all processes."""
    box = [item]
    if world_size() > 1:
        dist.broadcast_object_list(box, src=0)
    return box[0]


def all_gather(item: Item) -> list[Item]:
    """Return the items of all processes, by rank."""
    items = [item] * world_size()
    if world_size() > 1:
        dist.all_gather_object(items, item)
    return items


def collective_device() -> torch.device:
    """Return where a tensor has to be for the processes to share it: on the GPU for NCCL, else on the CPU."""
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


def all_reduce(tensor: Tensor) -> Tensor:
    """Sum a tensor over the processes, in place."""
    if world_size() > 1:
        dist.all_reduce(tensor)
    return tensor


# ------------------------------------------------------------------------------------------------------- threads


class Replica:
    """A network with a gradient buffer of its own, and the random `generator` that varies its lines.

    buffer: one vector, so that one sum does for all of it, of two views: `gradients` (weights,), of the weights that
    are trained, and the running `statistics` of batch norm (channels,).
    """

    def __init__(self, network: CRNN):
        self.network = network
        weights = [weight for weight in network.parameters() if weight.requires_grad]
        norms = [module for module in network.modules() if isinstance(module, nn.BatchNorm2d)]
        statistics = [norm.get_buffer(name) for norm in norms for name in ("running_mean", "running_var")]
        sizes = [weight.numel() for weight in weights]
        self.buffer = torch.cat([weights[0].new_zeros(sum(sizes)), *statistics])
        # `data`: autograd would take a new gradient for a change of the statistics, which backward needs
        self.gradients, self.statistics = (view.data for view in self.buffer.tensor_split([sum(sizes)]))
        self.generator = torch.Generator(self.buffer.device)
        for weight, gradient in zip(weights, self.gradients.split(sizes), strict=True):
            weight.grad = gradient.as_strided(weight.shape, weight.stride())
        views = iter(self.statistics.split([statistic.numel() for statistic in statistics]))
        for norm in norms:
            norm.running_mean, norm.running_var = next(views), next(views)

    def clone_sharing_weights(self) -> "Replica":
        """Return another replica, whose network has the same weights: the tensors themselves."""
        network = copy.deepcopy(self.network)
        for weight, shared in zip(network.parameters(), self.network.parameters(), strict=True):
            weight.data, weight.grad = shared.data, None
        return Replica(network)


@torch.no_grad()
def reduce_replicas(whole: Replica, replicas: Sequence[Replica], micro_batches: int) -> None:
    """Give `whole` the sum of the gradients of all `micro_batches`, of which this process has `replicas`, and the mean
    of their running statistics. The replicas go on from these statistics, and from gradients of 0.
    """
    first, *others = (replica.buffer for replica in replicas)
    whole.buffer.copy_(first)
    for other in others:
        whole.buffer.add_(other)
    all_reduce(whole.buffer)
    whole.statistics.div_(micro_batches)
    for replica in replicas:
        replica.buffer.zero_()
        replica.statistics.copy_(whole.statistics)


@contextmanager
def replica_pool(replicas: int, device: torch.device) -> Iterator[ThreadPoolExecutor]:
    """Yield a pool of threads for so many replicas. On a CPU the intra-op threads of torch are divided among them.

    The calling thread has one meanwhile: what it does between two batches is too little to share, and OpenMP's threads,
    which wait for more of it by spinning, would take the cores from the pool. Where another process keeps a core busy,
    that made a training 2 to 4 times slower.
    """
    intra_op_threads = torch.get_num_threads()
    workers = max(1, min(replicas, intra_op_threads)) if device.type == "cpu" else 1
    torch.set_num_threads(1)
    try:
        with ThreadPoolExecutor(workers, "replica", set_intra_op_threads, (intra_op_threads // workers,)) as pool:
            yield pool
    finally:
        torch.set_num_threads(intra_op_threads)


def set_intra_op_threads(number: int) -> None:
    """Set this thread's number of intra-op threads. Query it first: torch sets it at first use, and would undo ours."""
    torch.get_num_threads()
    torch.set_num_threads(number)
