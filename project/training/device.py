"""Which device trains, how much it takes at once, and batches that are prepared ahead of it."""

import contextlib
import functools
import logging
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

import torch
from torch import nn

from project.data.rows import mapped_ahead

MAX_BATCH_WIDTH = 98_304  # px: an H100 gained nothing by more
MEMORY_PER_PX = 2**17  # bytes of a GPU's memory for each px of a batch, six times what a training step was seen to take
CPU_BATCH_WIDTH, CPU_MICRO_BATCHES = 4096, 2  # px; side by side on two threads
HAS_BFLOAT16 = bool(torch.cpu.get_capabilities().get("avx512_bf16"))  # else it is slower than float32 on a CPU
WORKERS, AHEAD = 4, 8  # threads that prepare batches for a GPU, and how many they are ahead of it
SYNC_EVERY = 20  # steps: so often the host waits for a GPU, to see the loss and the clocks of the other processes

Item = TypeVar("Item")
Prepared = TypeVar("Prepared")

log = logging.getLogger(__name__)


def choose_device(trial_step: Callable[[torch.device], None]) -> torch.device:
    """Return the GPU of this process, Apple's if `trial_step`, a step of training, works there, or the CPU."""
    if torch.cuda.is_available():
        return torch.device("cuda", torch.cuda.current_device())
    if torch.backends.mps.is_available():
        try:
            trial_step(torch.device("mps"))
            return torch.device("mps")
        except (RuntimeError, NotImplementedError, TypeError) as error:  # what torch raises for what is not there yet
            log.warning("this GPU cannot train, so the CPU does: %s", error)
    return torch.device("cpu")


def suitable_batch(device: torch.device) -> tuple[int, int]:
    """Return the `batch_width` (px) and the number of `micro_batches` that suit a device.

    A GPU takes one large micro-batch, as far as its memory goes; on a CPU two small ones run side by side.
    """
    if device.type == "cpu":
        return CPU_BATCH_WIDTH, CPU_MICRO_BATCHES
    memory = torch.cuda.get_device_properties(device).total_memory if device.type == "cuda" else 2**31
    return max(CPU_BATCH_WIDTH, min(MAX_BATCH_WIDTH, memory // MEMORY_PER_PX)), 1


def autocast(device: torch.device) -> contextlib.AbstractContextManager:
    """Compute in bfloat16 where the device is faster with it; what needs float32 stays so, as torch has it."""
    faster = HAS_BFLOAT16 if device.type == "cpu" else device.type == "cuda" and torch.cuda.is_bf16_supported()
    return torch.autocast(device.type, torch.bfloat16, enabled=faster)


def flatten_lstms(network: nn.Module) -> None:
    """Lay the weights of each LSTM side by side in memory, as cuDNN wants them, which else copies them in each step."""
    for module in network.modules():
        if isinstance(module, nn.LSTM):
            module.flatten_parameters()


def sync_interval(device: torch.device) -> int:
    """Return after how many steps the host looks at the loss: a CPU's is known at once, for a GPU it would wait."""
    return 1 if device.type == "cpu" else SYNC_EVERY


def prepared_ahead(
    prepare: Callable[[Item], Prepared], batches: Iterable[list[Item]], device: torch.device
) -> Iterator[list[Callable[[], Prepared]]]:
    """Yield for each batch a function for each of its micro-batches, which returns what `prepare` makes of it.

    For a GPU it has been made by then. On a CPU the replica's own thread makes it, when it asks.
    """
    if device.type == "cpu":
        for batch in batches:
            yield [functools.partial(prepare, item) for item in batch]
    else:
        for made in prefetched(lambda batch: [prepare(item) for item in batch], batches):
            yield [functools.partial(lambda one: one, one) for one in made]


def prefetched(prepare: Callable[[Item], Prepared], items: Iterable[Item]) -> Iterator[Prepared]:
    """Yield what `prepare` makes of each item, in order; threads are `AHEAD` items ahead of what is asked for."""
    with ThreadPoolExecutor(WORKERS, "prefetch") as pool:
        yield from mapped_ahead(pool, prepare, items, AHEAD)
