"""What an attack may cost: a bounded amount of memory."""

import resource

import pytest

MOST_GROWTH = 1 << 30  # bytes, of this process over all rows or examples of a module


@pytest.fixture(scope="module", autouse=True)
def bounded_memory():
    """No input takes a gibibyte."""
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    yield
    assert (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) * 1024 < MOST_GROWTH
