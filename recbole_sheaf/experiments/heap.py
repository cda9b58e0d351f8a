"""Keep freed memory inside a training process, so that every step does not ask the kernel for it again.

A training step frees tensors of megabytes and asks for the same ones a moment later. glibc takes such blocks from the
kernel and gives them straight back, so each is zeroed and mapped page by page before its first use: on a CPU x * x of
12 MB took 1.9 ms, into memory already held 0.27 ms. ``benchmarks/benchmark_models.py`` times whole steps either way.
"""

import ctypes
import functools
import sys
from typing import Optional

# Parameters of mallopt(3), from malloc.h; their values are ints.
_M_TRIM_THRESHOLD, _M_TOP_PAD, _M_MMAP_MAX = -1, -2, -4
_OPTIONS = (
    (_M_MMAP_MAX, 0),  # no block of its own from the kernel, whatever its size; M_MMAP_THRESHOLD is capped at 32 MB
    (_M_TRIM_THRESHOLD, -1),  # the end of the heap is not given back
    (_M_TOP_PAD, 64 * 2**20),  # the heap grows by at least so much
)


def keep_freed_memory() -> bool:
    """Let the C library keep what tensors free until the process ends, or until this is called again.

    What an earlier training left is given back first, so that the next one's peak memory is its own. The price is that
    the process holds its peak between steps, as other processes see it. No number computed changes.

    Returns:
        Whether the C library could be told: it is glibc. Elsewhere (musl, macOS, Windows) nothing is done.
    """
    libc = _glibc()
    if libc is None:
        return False
    libc.malloc_trim(0)
    return _told(libc)


@functools.cache
def _told(libc: ctypes.CDLL) -> bool:
    return all(libc.mallopt(option, value) == 1 for option, value in _OPTIONS)


@functools.cache
def _glibc() -> Optional[ctypes.CDLL]:
    """The process's C library if it is glibc, whose name for its version no other has."""
    if not sys.platform.startswith("linux"):
        return None
    libc = ctypes.CDLL(None)
    return libc if hasattr(libc, "gnu_get_libc_version") else None
