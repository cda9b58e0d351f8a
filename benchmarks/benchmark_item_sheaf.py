"""Times the local item sheaf, and weighs it, as items grow.

    python -m benchmarks.benchmark_item_sheaf [--items=10000,100000,1000000] [--neighbours=50]

Prints a Markdown table: seconds of each part of a fit, and the peak of resident memory, the synthetic data included.
Items have ten interactions on average, users too, on items near their own taste, with popularity as in a power law;
content has 64 coordinates. One process for each size. Linux only.
"""

import argparse
import subprocess
import sys
import time
from pathlib import Path

import torch

from benchmarks.measuring import machine
from recbole_sheaf.layers.item_sheaf import LocalItemSheaf
from recbole_sheaf.sheaf.item_arcs import choose_neighbours
from recbole_sheaf.sheaf.item_sheaf import ridge_diagonal
from recbole_sheaf.sheaf.item_signals import content_coordinates, item_signals
from recbole_sheaf.sheaf.local_item_sheaf import content_hubs, local_transport

PER_ITEM, CONTENT, TASTES = 10, 64, 200  # interactions of an item, columns of content, items of one taste
PARTS = ("signals", "arcs", "maps", "hubs", "layer", "1,024 users")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--items", default="10000,100000,1000000")
    parser.add_argument("--neighbours", type=int, default=50)
    parser.add_argument("--one", action="store_true", help="measure one size in this process and print its row")
    options = parser.parse_args()
    sizes = [int(size) for size in options.items.split(",")]
    if options.one:
        print(row(sizes[0], options.neighbours))
        return
    print(f"Seconds, K = {options.neighbours}, on {machine()}\n")
    print(f"| items | {' | '.join(PARTS)} | fit, all | peak GiB |\n|{'---|' * (len(PARTS) + 3)}", flush=True)
    for size in sizes:
        command = [sys.executable, "-m", "benchmarks.benchmark_item_sheaf", "--one", f"--items={size}"]
        print(subprocess.check_output([*command, f"--neighbours={options.neighbours}"], text=True).strip(), flush=True)


def row(n_items: int, neighbours: int) -> str:
    """Fit and score once; a line of the table."""
    users, items, rows = synthetic(n_items)
    clock = [time.perf_counter()]
    content = content_coordinates([(rows, torch.ones(n_items, dtype=torch.bool))], [5.0])
    signals = item_signals(users, items, n_items, n_items, content, history_power=0.5)
    del users, items, rows, content
    clock.append(time.perf_counter())
    ridge = ridge_diagonal(signals.diagonal, 50.0, 0.2)
    near = choose_neighbours(signals, ridge, neighbours)
    clock.append(time.perf_counter())
    maps = local_transport(signals, near, ridge, content=False)
    clock.append(time.perf_counter())
    hubs = content_hubs(maps, signals.content)
    clock.append(time.perf_counter())
    weights = maps.weights * (maps.variance / hubs.variance).unsqueeze(1)
    outgoing = hubs.factor / hubs.variance.unsqueeze(1)
    sheaf = LocalItemSheaf(signals, near, weights, hubs.factor, outgoing, backend="torch")
    clock.append(time.perf_counter())
    for start in range(0, 1024, 128):
        sheaf.scores(torch.arange(start, start + 128))
    clock.append(time.perf_counter())
    seconds = [after - before for before, after in zip(clock, clock[1:])]
    peak = next(line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmHWM"))
    cells = [f"{second:.1f}" for second in (*seconds, sum(seconds[:-1]))]
    return f"| {n_items:,} | {' | '.join(cells)} | {int(peak.split()[1]) / 2**20:.2f} |"


def synthetic(n_items: int) -> "tuple[torch.Tensor, torch.Tensor, torch.Tensor]":
    """Users, items and content rows: each user keeps to one taste, in which popularity falls as a power."""
    generator = torch.Generator().manual_seed(0)
    count = PER_ITEM * n_items
    users = torch.randint(n_items, (count,), generator=generator)
    place = (torch.rand(count, generator=generator).square() * TASTES).long()
    items = users // TASTES * TASTES + place
    strays = torch.rand(count, generator=generator) < 0.2
    items = torch.where(strays, torch.randint(n_items, (count,), generator=generator), items).clamp(max=n_items - 1)
    return users, items, torch.randn(n_items, CONTENT, generator=generator)


if __name__ == "__main__":
    main()
