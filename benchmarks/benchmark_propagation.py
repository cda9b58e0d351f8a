"""Times a step of every map family, forward and backward, beside the propagation of RecBole's LightGCN.

    python -m benchmarks.benchmark_propagation

Writes benchmarks/propagation.md. Two threads; each table's cases run in one process and take turns; memory is measured
in a process of its own, where freed memory returns to the system at once. Linux only.
"""

import argparse
import json
import os
import subprocess
import sys
from pathlib import Path

ARCS = 1_600_000
GROWING = ["RecBole's LightGCN (torch COO)", "identity (dgl)", "wide (dgl)", "diagonal (dgl)", "factored (dgl)"]
BY_STALK = [*GROWING, "orthogonal (dgl)", "general (dgl)"]
MEBI = 2**20


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "propagation.md")
    parser.add_argument("--arcs", type=int, default=ARCS, help="arcs of the main table (both directions count)")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--child", type=json.loads, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.child:
        print(json.dumps(measure(**options.child)))
        return
    options.out.write_text(report(options.arcs, options.rounds))
    print(options.out.read_text())


def measure(kind: str, arcs: int, stalk_dim: int, names=None, rounds: int = 2) -> dict:
    """Measure cases in this process: seconds (median, fastest) if ``kind`` is time, bytes if it is memory."""
    import torch

    from benchmarks.measuring import machine, peak_extra_bytes, time_rounds
    from benchmarks.propagation_cases import cases, random_problem

    torch.set_num_threads(2)
    described = machine()
    torch.manual_seed(0)
    problem = random_problem(arcs, stalk_dim)
    builders = cases(problem, names)
    if kind == "time":
        built = {name: build() for name, build in builders.items()}
        return {"machine": described, "cases": time_rounds(built, rounds)}
    return {"machine": described, "cases": {name: peak_extra_bytes(*build()) for name, build in builders.items()}}


def in_own_process(**task) -> dict:
    """Run :func:`measure` where nothing else has run."""
    environment = {**os.environ, "OMP_NUM_THREADS": "2", "MKL_NUM_THREADS": "2"}
    if task["kind"] == "memory":
        environment["MALLOC_MMAP_THRESHOLD_"] = "65536"
    command = [sys.executable, "-W", "ignore", "-m", "benchmarks.benchmark_propagation", "--child", json.dumps(task)]
    answer = subprocess.run(command, env=environment, check=True, stdout=subprocess.PIPE, text=True).stdout
    return json.loads(answer.splitlines()[-1])


def report(arcs: int, rounds: int) -> str:
    """The whole page."""
    timed = in_own_process(kind="time", arcs=arcs, stalk_dim=4, rounds=rounds)
    held = in_own_process(kind="memory", arcs=arcs, stalk_dim=4)
    parts = [
        "# Propagation: forward and backward of one step",
        f"`python -m benchmarks.benchmark_propagation` on {timed['machine']}",
        f"Random bipartite graph of ml-1m's shape, {arcs:,} arcs, d = 4, c = 16. Gradients reach the signal and all "
        f"maps. Median of {rounds} rounds in which the cases take turns, ratio to the first row; memory is the peak "
        "above inputs and layouts, outputs and gradients included, also as floats per arc and stalk coordinate.",
        main_table(timed["cases"], held["cases"], arcs),
        "## Growth with the number of arcs (d = 4)",
        growth_table([(f"{a:,} arcs", a, 4) for a in (100_000, 1_000_000, 10_000_000)], GROWING),
        "## Growth with the stalk dimension (d c = 64)",
        growth_table([(f"d = {d}", arcs, d) for d in (1, 2, 4, 8)], BY_STALK),
    ]
    return "\n\n".join(parts) + "\n"


def main_table(seconds: dict, held: dict, arcs: int) -> str:
    """Rows of time, ratio to the first case, and memory."""
    baseline = next(iter(seconds.values()))
    lines = ["| case | ms, median | ms, fastest | ratio | MiB | floats per arc, d |", "|---|--:|--:|--:|--:|--:|"]
    for name, (median, fastest) in seconds.items():
        floats = held[name] / (4 * 4 * arcs)
        cells = [f"{1e3 * median:.1f}", f"{1e3 * fastest:.1f}", f"{median / baseline[0]:.2f}"]
        lines.append(f"| {name} | {' | '.join(cells)} | {held[name] / MEBI:.0f} | {floats:.1f} |")
    return "\n".join(lines)


def growth_table(settings: list, names: list) -> str:
    """Milliseconds and MiB of each case (rows) in each setting (columns)."""
    columns = []
    for _, arcs, stalk_dim in settings:
        task = {"arcs": arcs, "stalk_dim": stalk_dim, "names": names}
        seconds = in_own_process(kind="time", **task)["cases"]
        held = in_own_process(kind="memory", **task)["cases"]
        columns.append({name: f"{1e3 * seconds[name][0]:.1f} ms, {held[name] / MEBI:.0f} MiB" for name in names})
    head = "| case | " + " | ".join(label for label, _, _ in settings) + " |"
    rows = ["| " + " | ".join([name, *(column[name] for column in columns)]) + " |" for name in names]
    return "\n".join([head, "|---|" + "--:|" * len(columns), *rows])


if __name__ == "__main__":
    main()
