"""Reading on all cores of one machine: worker processes, each with the recogniser, and the results in order."""

import functools
import itertools
import multiprocessing
import os
import time
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import replace
from multiprocessing.process import BaseProcess
from signal import SIG_IGN, SIGINT, signal
from threading import Thread
from typing import TypeVar

from project.data.rows import mapped_ahead
from project.errors import InputError
from project.recognition.onnx_engine import threads
from project.recognition.recognizer import Recognizer

ALONE = 2.0  # s, about as long as a process takes to start
AHEAD = 2  # items a process that are handed out before the first of them is asked for

Item = TypeVar("Item")
Result = TypeVar("Result")

_recognizer: Recognizer  # of a process of the pool


def read_in_order(
    read: Callable[[Recognizer, Item], Result], recognizer: Recognizer, items: Iterable[Item], processes: int
) -> Iterator[tuple[Item, Result]]:
    """Yield each item with what `read` makes of it, in order.

    This process reads alone for as long as it would take to start the others, or if there is to be but one.

    Raise InputError if one is killed.
    """
    items = iter(items)
    started = time.monotonic()
    for item in items:
        yield item, read(recognizer, item)
        if processes > 1 and time.monotonic() - started >= ALONE:
            break
    items, read_items = itertools.tee(items)
    state = (replace(recognizer), max(1, threads() // processes))  # without its session, which cannot be sent
    # spawn: a process that is forked hangs where this one has threads
    pool = ProcessPoolExecutor(processes, multiprocessing.get_context("spawn"), _start, state)
    try:
        results = mapped_ahead(pool, functools.partial(_read, read), read_items, AHEAD * processes)
        yield from zip(items, results, strict=True)
    except BrokenProcessPool:
        raise InputError(
            f"processes: one of {processes} was killed (out of memory?); run the same command again to resume, with "
            "fewer processes if memory is short"
        ) from None
    finally:
        pool.shutdown(cancel_futures=True)


def _start(recognizer: Recognizer, number_of_threads: int) -> None:
    """Prepare a process: it keeps the recogniser, leaves Ctrl-C to its parent, and ends with it however that ends."""
    global _recognizer
    _recognizer = recognizer
    os.environ["OMP_NUM_THREADS"] = str(number_of_threads)
    signal(SIGINT, SIG_IGN)
    parent = multiprocessing.parent_process()
    assert parent, "a process of the pool"
    Thread(target=_end_with, args=(parent,), daemon=True).start()


def _end_with(parent: BaseProcess) -> None:
    parent.join()
    os._exit(1)


def _read(read: Callable[[Recognizer, Item], Result], item: Item) -> Result:
    return read(_recognizer, item)
