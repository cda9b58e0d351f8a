"""Freed memory stays with a process that trains, and goes back before its next training."""

import json
import subprocess
import sys

import pytest

from recbole_sheaf.experiments import heap

# A process of its own: what mallopt was told cannot be taken back, and another test may have told it already.
SCRIPT = """
import json, resource
import torch
from recbole_sheaf.experiments.heap import keep_freed_memory
from recbole_sheaf.experiments.measure import PeakMemory

x = torch.rand(12_000_000)  # 48 MB: above 32 MB glibc never learns to keep a block by itself

def faults():
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(20):
        x * x
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before

def peak(numbers):
    keep_freed_memory()
    with PeakMemory(torch.device("cpu")) as memory:
        torch.ones(numbers)
    return memory.mib

unasked = faults()
told = keep_freed_memory()
faults()
kept = faults()
peaks = [peak(numbers) for numbers in (10**5, 10**8, 10**5)]
print(json.dumps({"told": told, "unasked": unasked, "kept": kept, "peaks": peaks}))
"""


@pytest.fixture
def other_libc(monkeypatch):
    heap._glibc.cache_clear()
    yield monkeypatch
    heap._glibc.cache_clear()


@pytest.mark.skipif(heap._glibc() is None, reason="the C library is not glibc")
def test_tensors_of_a_step_fault_once_and_a_training_does_not_inherit_the_peak_of_another():
    done = subprocess.run([sys.executable, "-c", SCRIPT], check=True, stdout=subprocess.PIPE, text=True)
    seen = json.loads(done.stdout.splitlines()[-1])
    assert seen["told"]
    assert seen["kept"] < seen["unasked"] / 10
    small, large, small_again = seen["peaks"]
    assert large > small + 350  # 400 MB
    assert small_again == pytest.approx(small, abs=20)


def test_nothing_is_done_on_another_system(other_libc):
    other_libc.setattr(heap.sys, "platform", "darwin")
    assert not heap.keep_freed_memory()


def test_nothing_is_done_with_another_c_library(other_libc):
    other_libc.setattr(heap.ctypes, "CDLL", lambda name: object())
    assert not heap.keep_freed_memory()
