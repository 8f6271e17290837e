"""What a training leaves of the machine's memory to others: settings of oneDNN and glibc, and what is given back."""

import ctypes
import os
import sys

import pyarrow as pa

KERNELS = "512"  # that oneDNN keeps, half of its own default; about 55 for each shape of a batch
M_ARENA_MAX = -8  # of glibc's malloc.h
LIBC = ctypes.CDLL(None) if sys.platform == "linux" else None


def limit_allocators() -> None:
    """Keep the kernels of shapes that come often, and one heap for all threads. To be called before the first batch."""
    os.environ.setdefault("ONEDNN_PRIMITIVE_CACHE_CAPACITY", KERNELS)
    if hasattr(LIBC, "mallopt"):
        LIBC.mallopt(M_ARENA_MAX, 1)


def trim_heap() -> None:
    """What is free between pieces of the heap that are in use, which else grows with the epochs, and Arrow's."""
    pa.default_memory_pool().release_unused()
    if hasattr(LIBC, "malloc_trim"):
        LIBC.malloc_trim(0)
