"""Times a step of the softmax loss, forward and backward, over all items and over sampled ones.

    python -m benchmarks.benchmark_softmax

Writes benchmarks/softmax.md. One thread, each case in a process of its own; the model before the loss is not in it:
what is timed starts from embeddings of the users and all items and ends with their gradients. Linux only.
"""

import argparse
import json
import os
import subprocess
import sys
from pathlib import Path

MEBI = 2**20
CASES = [  # items, users, interactions of each, sampled items (None: all)
    (10_000, 2_048, 20, None),
    (10_000, 2_048, 20, 4_096),
    (50_000, 2_048, 20, None),
    (50_000, 2_048, 20, 4_096),
    (1_000_000, 2_048, 20, 4_096),
]
WIDTH = 192


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "softmax.md")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--child", type=json.loads, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.child:
        print(json.dumps(measure(*options.child)))
        return
    options.out.write_text(report(options.rounds))
    print(options.out.read_text())


def measure(items: int, users: int, each: int, draws, rounds: int) -> dict:
    """Seconds (median, fastest) of a step, and bytes at its peak above embeddings."""
    import torch

    from benchmarks.measuring import machine, peak_extra_bytes, time_rounds
    from recbole_sheaf.layers.softmax_loss import ItemSampler, softmax_loss

    torch.set_num_threads(1)
    described = machine()
    torch.manual_seed(0)
    popularity = torch.arange(1, items).float().reciprocal()  # Zipf's law
    chosen = torch.multinomial(popularity, users * each, replacement=True) + 1
    row = torch.arange(users).repeat_interleave(each)
    row, chosen = torch.stack([row, chosen]).unique(dim=1)
    sampler = ItemSampler((1e6 * torch.cat([torch.zeros(1), popularity])).long(), draws) if draws else None

    def step(user_rows, item_rows):
        return softmax_loss(user_rows, item_rows, (row, chosen), 0.2, draw=sampler and sampler.draw())

    inputs = (torch.randn(users, WIDTH), torch.randn(items, WIDTH))
    held = peak_extra_bytes(step, inputs)
    return {"machine": described, "bytes": held, "seconds": time_rounds({"step": (step, inputs)}, rounds)["step"]}


def report(rounds: int) -> str:
    """The whole page."""
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "MALLOC_MMAP_THRESHOLD_": "65536"}
    lines = ["| items | sampled | ms, median | ms, fastest | MiB at the peak | of it the items' gradient |"]
    lines.append("|--:|--:|--:|--:|--:|--:|")
    described = ""
    for items, users, each, draws in CASES:
        task = json.dumps([items, users, each, draws, rounds])
        command = [sys.executable, "-W", "ignore", "-m", "benchmarks.benchmark_softmax", "--child", task]
        answer = subprocess.run(command, env=environment, check=True, stdout=subprocess.PIPE, text=True).stdout
        found = json.loads(answer.splitlines()[-1])
        described = described or found["machine"]
        median, fastest = (f"{1e3 * seconds:.0f}" for seconds in found["seconds"])
        gradient = f"{4 * items * WIDTH / MEBI:.0f}"
        sampled = f"{draws:,}" if draws else "all"
        lines.append(f"| {items:,} | {sampled} | {median} | {fastest} | {found['bytes'] / MEBI:.0f} | {gradient} |")
    parts = [
        "# A step of the softmax loss, forward and backward",
        f"`python -m benchmarks.benchmark_softmax` on {described}",
        f"2,048 users with 20 interactions each by Zipf's law, embeddings {WIDTH} wide; memory is the peak above users "
        "and items as they are given, their gradients and the unit copies included.",
        "\n".join(lines),
    ]
    return "\n\n".join(parts) + "\n"


if __name__ == "__main__":
    main()
