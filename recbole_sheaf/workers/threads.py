"""How many threads the libraries of a process compute by, on which the last digits of their sums may depend."""

import contextlib
import sys
from collections.abc import Iterator
from typing import Optional

from threadpoolctl import threadpool_limits


@contextlib.contextmanager
def threads_limited(threads: Optional[int]) -> Iterator[None]:
    """A context in which NumPy and PyTorch, where this process has it, compute by so many threads; None leaves them."""
    if threads is None:
        yield
        return
    torch = sys.modules.get("torch")
    before = None if torch is None else torch.get_num_threads()
    with threadpool_limits(threads):
        try:
            if torch is not None:
                torch.set_num_threads(threads)
            yield
        finally:
            if torch is not None:
                torch.set_num_threads(before)
