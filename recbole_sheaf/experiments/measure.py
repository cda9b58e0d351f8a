"""What a run costs: peak memory and parameters, and the versions it ran with."""

import functools
import platform
import resource
import sys
from importlib import metadata
from pathlib import Path
from types import TracebackType
from typing import Optional

import torch

PACKAGES = ("recbole-sheaf", "recbole", "torch", "dgl", "numpy", "scipy", "pandas", "scikit-learn")


class PeakMemory:
    """Peak memory of a ``with`` block in MiB: of the device on CUDA, else of this process.

    On Linux the kernel's high-water mark is reset on entry, so several runs in one process do not hide each other;
    elsewhere the mark of the whole process is given.
    """

    def __init__(self, device: torch.device) -> None:
        self.device = device
        self.mib = float("nan")

    def __enter__(self) -> "PeakMemory":
        if self.device.type == "cuda":
            torch.cuda.reset_peak_memory_stats(self.device)
        else:
            _reset_high_water_mark()
        return self

    def __exit__(
        self, kind: Optional[type[BaseException]], value: Optional[BaseException], trace: Optional[TracebackType]
    ) -> None:
        if self.device.type == "cuda":
            self.mib = torch.cuda.max_memory_allocated(self.device) / 2**20
        else:
            self.mib = _high_water_mark()


def _reset_high_water_mark() -> None:
    marks = Path("/proc/self/clear_refs")
    if marks.exists():
        marks.write_text("5")  # proc(5): resets VmHWM to the memory in use now


def _high_water_mark() -> float:
    status = Path("/proc/self/status")
    if status.exists():
        line = next(line for line in status.read_text().splitlines() if line.startswith("VmHWM"))
        return int(line.split()[1]) / 2**10
    unit = 2**20 if sys.platform == "darwin" else 2**10
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / unit


def trainable_parameters(model: torch.nn.Module) -> int:
    """Number of trainable scalars of a model."""
    return sum(parameter.numel() for parameter in model.parameters() if parameter.requires_grad)


def versions() -> dict[str, str]:
    """Releases of Python and of the packages that a number depends on."""
    return dict(_versions())


@functools.cache
def _versions() -> dict[str, str]:
    found = {"python": platform.python_version()}
    for package in PACKAGES:
        try:
            found[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            found[package] = "not installed"
    return found
