"""The processes that train together, as `torchrun` starts them: which is the first, and what they tell each other.

Where a process is alone, what is told or shared stays as it is.
"""

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TypeVar

import torch
import torch.distributed as dist
from torch import Tensor

Told = TypeVar("Told")


@contextmanager
def together() -> Iterator[None]:
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


def count() -> int:
    """How many processes train together."""
    return dist.get_world_size() if dist.is_initialized() else 1


def number() -> int:
    """Which of them this one is, from 0: the first is the one that writes files and talks to MLflow."""
    return dist.get_rank() if dist.is_initialized() else 0


def share(items: Sequence) -> Sequence:
    """This process's part of `items`: every n-th of n processes."""
    return items[number() :: count()]


def from_first(told: Told) -> Told:
    """What the first process tells; what the others say does not matter."""
    box = [told]
    if count() > 1:
        dist.broadcast_object_list(box, src=0)
    return box[0]


def gathered(told: Told) -> list[Told]:
    """What each process tells, in their order."""
    answers = [told] * count()
    if count() > 1:
        dist.all_gather_object(answers, told)
    return answers


def summed(*numbers: float) -> list[float]:
    """Each number, summed over the processes; all of them get the same."""
    total = torch.tensor(numbers, dtype=torch.float64)
    if count() > 1 and torch.cuda.is_available():
        total = total.cuda()
    return summed_tensor(total).tolist()


def summed_tensor(total: Tensor) -> Tensor:
    """The same for a tensor of each process, in its place."""
    if count() > 1:
        dist.all_reduce(total)
    return total
