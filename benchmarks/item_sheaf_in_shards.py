r"""The local item sheaf of ten million items, in shards of items on worker processes: time and memory.

    OMP_NUM_THREADS=1 python -m benchmarks.item_sheaf_in_shards [--items=10000000] [--users=600000] [--per-user=50] \
        [--arcs=20] [--content=16] [--workers=2] [--ray=ADDRESS]

Users keep to their tastes as in `million_items`; content is random. Prints a Markdown row: seconds until the signals
are there, of arcs and maps on the workers, of hubs and the level of cold items in this process, and the memory of all
processes together at its peak, pages that several of them map counted once. Linux only.
"""

import argparse
import threading
import time
from pathlib import Path

import numpy as np
import torch

from benchmarks.measuring import machine
from benchmarks.million_items import drawn
from recbole_sheaf.layers.item_sheaf import fit_item_sheaf
from recbole_sheaf.models.local_shards import LocalShards
from recbole_sheaf.sheaf.item_signals import item_signals
from recbole_sheaf.workers.pools import ProcessWorkers, RayWorkers


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    for name, value in (("items", 10_000_000), ("users", 600_000), ("per-user", 50), ("arcs", 20), ("content", 16)):
        parser.add_argument(f"--{name}", type=int, default=value)
    parser.add_argument("--workers", type=int, default=2)
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
        there, learnt = time.perf_counter(), []

        def local_maps(*given):
            maps = LocalShards(workers)(*given)
            learnt.append(time.perf_counter())
            return maps

        sheaf = fit_item_sheaf(signals, neighbours=options.arcs, backend="torch", local_maps=local_maps)
        end = time.perf_counter()
    print(
        "| items | interactions | arcs of an item | content | workers | signals, s | arcs and maps, s | hubs, s | GiB |"
        "\n"
        "|--:|--:|--:|--:|--:|--:|--:|--:|--:|\n"
        f"| {options.items:,} | {len(signals.items_of_user):,} | {options.arcs} | {options.content} | "
        f"{workers.slots} | {there - start:.0f} | {learnt[0] - there:.0f} | {end - learnt[0]:.0f} | "
        f"{memory.peak / 2**30:.1f} |\n\n"
        f"{sheaf.graph.num_arcs:,} arcs"
    )


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
        while not self.ended.wait(1.0):
            self.peak = max(self.peak, sum(map(_proportional_bytes, family())))


def family() -> "list[int]":
    """This process and those under it."""
    found, parents = [], {}
    for status in Path("/proc").glob("[0-9]*/stat"):
        try:
            parents[int(status.parent.name)] = int(status.read_text().rpartition(")")[2].split()[1])
        except FileNotFoundError:
            continue  # ended meanwhile
    asked = [int(Path("/proc/self").readlink().name)]
    while asked:
        one = asked.pop()
        found.append(one)
        asked += [child for child, parent in parents.items() if parent == one]
    return found


def _proportional_bytes(process: int) -> int:
    try:
        lines = Path(f"/proc/{process}/smaps_rollup").read_text().splitlines()
    except (FileNotFoundError, ProcessLookupError):
        return 0  # ended meanwhile
    return next((int(line.split()[1]) * 1024 for line in lines if line.startswith("Pss:")), 0)


if __name__ == "__main__":
    main()
