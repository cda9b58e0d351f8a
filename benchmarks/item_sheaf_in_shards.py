r"""The local item sheaf of ten million items, in shards of items on worker processes: time and memory.

    OMP_NUM_THREADS=1 python -m benchmarks.item_sheaf_in_shards [--items=10000000] [--users=600000] [--per-user=50] \
        [--arcs=20] [--content=16] [--workers=2] [--ray=ADDRESS] [--maps-alone]

Users keep to their tastes as in `million_items`; content is random. Prints a Markdown row for each step: seconds, and
the memory of all processes together at its peak until then, pages that several of them map counted once. The last row
is with hubs and the sheaf as a module, in this process alone; with --maps-alone it ends before them. Linux only.
"""

import argparse
import threading
import time

import numpy as np
import psutil
import torch

from benchmarks.measuring import machine
from benchmarks.million_items import drawn
from recbole_sheaf.layers.item_sheaf import fit_item_sheaf
from recbole_sheaf.models.local_shards import LocalShards
from recbole_sheaf.sheaf.item_sheaf import ridge_diagonal
from recbole_sheaf.sheaf.item_signals import item_signals
from recbole_sheaf.workers.pools import ProcessWorkers, RayWorkers


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    for name, value in (("items", 10_000_000), ("users", 600_000), ("per-user", 50), ("arcs", 20), ("content", 16)):
        parser.add_argument(f"--{name}", type=int, default=value)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--maps-alone", action="store_true", help="end with arcs and maps")
    parser.add_argument("--ray", metavar="ADDRESS", help="of a Ray cluster, or 'local', in the place of processes")
    options = parser.parse_args()
    print(f"{machine()}\n", flush=True)
    with Memory() as memory, RayWorkers(options.ray, 1) if options.ray else ProcessWorkers(options.workers) as workers:
        start = time.perf_counter()
        rng = np.random.default_rng(0)
        pairs = drawn(rng, options.items, options.users, options.per_user)
        content = torch.from_numpy(rng.standard_normal((options.items, options.content), dtype=np.float32))
        users, items = (torch.from_numpy(each) for each in pairs)
        signals = item_signals(users, items, options.users, options.items, content, history_power=0.5)
        del pairs, users, items, content
        there = time.perf_counter()
        print("| step | seconds | GiB |\n|:--|--:|--:|", flush=True)
        row(f"signals of {options.items:,} items, {len(signals.items_of_user):,} interactions", there - start, memory)

        def local_maps(*given):
            maps = LocalShards(workers)(*given)
            row(f"{options.arcs} arcs into each, maps, {workers.slots} workers", time.perf_counter() - there, memory)
            return maps

        if options.maps_alone:
            local_maps(signals, ridge_diagonal(signals.diagonal, 50.0, 0.5), options.arcs)
            return
        fit_item_sheaf(signals, neighbours=options.arcs, backend="torch", local_maps=local_maps)
        row(f"all, with hubs of {options.content} columns, as a module", time.perf_counter() - there, memory)


def row(step: str, seconds: float, memory: "Memory") -> None:
    print(f"| {step} | {seconds:.0f} | {memory.peak / 2**30:.1f} |", flush=True)


class Memory:
    """Bytes of this process and all that it started, at their peak, asked once a second."""

    def __enter__(self) -> "Memory":
        self.peak, self.ended = 0, threading.Event()
        self.thread = threading.Thread(target=self._watch, daemon=True)
        self.thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        self.ended.set()
        self.thread.join()

    def _watch(self) -> None:
        this = psutil.Process()
        while not self.ended.wait(1.0):
            family = (this, *this.children(recursive=True))
            self.peak = max(self.peak, sum(map(_proportional_bytes, family)))


def _proportional_bytes(process: psutil.Process) -> int:
    try:
        return process.memory_full_info().pss
    except psutil.NoSuchProcess:
        return 0  # ended meanwhile


if __name__ == "__main__":
    main()
