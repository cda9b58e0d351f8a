"""Time and memory of differentiated functions, and a description of the machine without its name."""

import importlib.metadata
import os
import platform
import statistics
import time
from pathlib import Path

import torch


def forward_and_backward(function, inputs) -> None:
    """One pass, with fresh gradients for all inputs."""
    inputs = [t.detach().requires_grad_() for t in inputs]
    out = function(*inputs)
    out.backward(out.detach())


def time_rounds(built: dict, rounds: int) -> "dict[str, tuple[float, float]]":
    """Seconds of forward and backward, (median, fastest); cases take turns, so that all meet the same disturbances."""
    seconds = {name: [] for name in built}
    for turn in range(rounds + 1):
        for name, (function, inputs) in built.items():
            start = time.perf_counter()
            forward_and_backward(function, inputs)
            if turn:  # the first turn lays out what is laid out once
                seconds[name].append(time.perf_counter() - start)
    return {name: (statistics.median(s), min(s)) for name, s in seconds.items()}


def peak_extra_bytes(function, inputs) -> int:
    """Resident memory at its peak during a pass, above what inputs and layouts hold; outputs and gradients count."""
    forward_and_backward(function, inputs)
    before = _status("VmRSS")
    Path("/proc/self/clear_refs").write_text("5")  # start the peak anew
    forward_and_backward(function, inputs)
    return max(_status("VmHWM") - before, 0)


def machine() -> str:
    """CPU, cores, memory, versions and load, in one paragraph."""
    model = next((v for k, v in _lines("/proc/cpuinfo") if k == "model name"), platform.processor())
    memory = next(int(v.split()[0]) for k, v in _lines("/proc/meminfo") if k == "MemTotal") / 2**20
    versions = ", ".join(f"{name} {importlib.metadata.version(name)}" for name in ("torch", "dgl", "numpy"))
    load = os.getloadavg()[0]
    note = "" if load < 0.5 else " **The machine was shared: the figures are exploratory.**"
    return (
        f"{model}, {os.cpu_count()} cores, {memory:.0f} GiB, Python {platform.python_version()}, {versions}, "
        f"{torch.get_num_threads()} threads, float32; load average at the start {load:.2f}.{note}"
    )


def _lines(path: str):
    pairs = (line.split(":", 1) for line in Path(path).read_text().splitlines() if ":" in line)
    return [(key.strip(), value.strip()) for key, value in pairs]


def _status(key: str) -> int:
    return next(int(v.split()[0]) for k, v in _lines("/proc/self/status") if k == key) * 1024
