"""Limits on what a training keeps of the machine's memory: the caches of oneDNN, the heaps of glibc, Arrow's pool."""

import ctypes
import os
import sys

import pyarrow as pa

CACHED_KERNELS = "512"  # of oneDNN, half of its default; about 55 for each shape of a batch
M_ARENA_MAX = -8  # of glibc's malloc.h
LIBC = ctypes.CDLL(None) if sys.platform == "linux" else None


def limit_allocators() -> None:
    """Limit oneDNN's cache of kernels, and glibc to one heap for all threads. To be called before the first batch."""
    os.environ.setdefault("ONEDNN_PRIMITIVE_CACHE_CAPACITY", CACHED_KERNELS)
    if LIBC and hasattr(LIBC, "mallopt"):
        LIBC.mallopt(M_ARENA_MAX, 1)


def trim_heap() -> None:
    """Return freed memory to the system: what lies between used pieces of the heap, which grows with the epochs."""
    pa.default_memory_pool().release_unused()
    if LIBC and hasattr(LIBC, "malloc_trim"):
        LIBC.malloc_trim(0)
