"""Times training steps of every multimodal model and of RecBole's LightGCN on one dataset, on one thread.

    python -m benchmarks.benchmark_models --data_path=DIR [--dataset=tiktok] [--models=LightGCN,MMSheaf:n_layers=3]

Prints a Markdown page: milliseconds of each part of a step, seconds of an epoch, and the operators that take most of a
step of the three slowest. CPU time: on one thread that of the work, whatever else the machine does. Linux only.
"""

import argparse
import itertools
import statistics
import sys
from collections import Counter
from dataclasses import dataclass
from time import process_time
from typing import Any

import torch
from recbole.utils import get_model, init_seed
from torch.utils._python_dispatch import TorchDispatchMode

from benchmarks.measuring import machine
from recbole_sheaf.experiments.carry_out import split_of
from recbole_sheaf.experiments.heap import keep_freed_memory
from recbole_sheaf.experiments.settings import resolve_configs
from recbole_sheaf.experiments.splits import loaders
from recbole_sheaf.plugin.recbole_compat import keep_reproducible
from recbole_sheaf.plugin.registration import MODELS

PARTS = ("batch", "forward", "backward", "optimiser")
# SheafRec, MMSheaf on one modality, refuses a dataset with more.
CASES = ("LightGCN", *(name for name in MODELS if name != "SheafRec"), "MMSheaf:restriction_map=identity")
WARM_UP, PROFILED = 5, 5  # steps
SLOWEST, OPERATORS = 3, 8  # how many are shown


class OperatorTimes(TorchDispatchMode):
    """CPU seconds and calls of PyTorch's operators, forward and backward; DGL's kernels are none of them.

    torch.profiler is not used: with its records in the heap, memory freed in one step does not serve the next, and
    what it times is the kernel handing out pages.
    """

    def __init__(self) -> None:
        super().__init__()
        self.seconds: Counter = Counter()
        self.calls: Counter = Counter()

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        name, started = func.overloadpacket.__name__, process_time()
        out = func(*args, **(kwargs or {}))
        self.seconds[name] += process_time() - started
        self.calls[name] += 1
        return out


@dataclass(frozen=True)
class Measured:
    """One case: milliseconds of each part and of a whole step (medians), steps in an epoch, and its operators."""

    case: str
    parts: "list[float]"
    step: float
    steps: int
    operators: OperatorTimes


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data_path", required=True, help="the folder that holds the dataset's folder")
    parser.add_argument("--dataset", default="tiktok")
    parser.add_argument("--models", default=",".join(CASES), help="names, each with :key=value for settings of its own")
    parser.add_argument("--steps", type=int, default=30, help="timed steps of each model")
    parser.add_argument("--batch", type=int, default=2048, help="interactions of a step")
    options = parser.parse_args()
    torch.set_num_threads(1)
    described = machine()
    measured = [measure(case, options) for case in options.models.split(",")]
    print(f"# Training steps on {options.dataset}\n")
    print(f"CPU ms, median of {options.steps} steps of {options.batch} interactions, on {described}\n")
    print(page(sorted(measured, key=lambda one: one.step)))


def measure(case: str, options: argparse.Namespace) -> Measured:
    """Train the model of a case for a few steps; its operators are timed apart, which slows steps down."""
    name, *own = case.split(":")
    settings = {"data_path": options.data_path, "train_batch_size": options.batch, "state": "WARNING"}
    settings.update(pair.split("=", 1) for pair in own)
    (config,) = resolve_configs([name], options.dataset, [], settings)
    batches, _, _ = loaders(config, split_of(config))
    keep_freed_memory()
    keep_reproducible(config)
    init_seed(config["seed"], True)
    model = get_model(name)(config, batches.dataset).train()
    optimiser = torch.optim.Adam(model.parameters(), lr=config["learning_rate"])
    train(model, batches, optimiser, WARM_UP)
    with OperatorTimes() as operators:
        train(model, batches, optimiser, PROFILED)
    seconds = train(model, batches, optimiser, options.steps)
    parts = [1e3 * statistics.median(part) for part in zip(*seconds)]
    measured = Measured(case, parts, 1e3 * statistics.median(map(sum, seconds)), len(batches), operators)
    print(f"{case}: {measured.step:.1f} ms", file=sys.stderr)
    return measured


def train(model: Any, batches: Any, optimiser: torch.optim.Optimizer, steps: int) -> "list[list[float]]":
    """Seconds of each part of so many steps, from the first batch on and through the data again where it ends."""
    seconds, endless = [], itertools.chain.from_iterable(itertools.repeat(batches))
    for _ in range(steps):
        marks = [process_time()]
        batch = next(endless)
        marks.append(process_time())
        optimiser.zero_grad()
        loss = model.calculate_loss(batch)
        loss = sum(loss) if isinstance(loss, tuple) else loss
        marks.append(process_time())
        loss.backward()
        marks.append(process_time())
        optimiser.step()
        marks.append(process_time())
        seconds.append([after - before for before, after in zip(marks, marks[1:])])
    return seconds


def page(measured: "list[Measured]") -> str:
    """The table of all cases, fastest first, and the operators of the slowest."""
    columns = ("model", *PARTS, "ms per step", "s per epoch")
    lines = [f"| {' | '.join(columns)} |", "|---|" + "--:|" * (len(columns) - 1)]
    for one in measured:
        numbers = [f"{number:.1f}" for number in (*one.parts, one.step)] + [f"{one.step * one.steps / 1e3:.2f}"]
        lines.append(f"| {one.case} | {' | '.join(numbers)} |")
    for one in measured[: -SLOWEST - 1 : -1]:
        lines += ["", f"## {one.case}", "", "| operator | ms per step | calls per step |", "|---|--:|--:|"]
        for name, seconds in one.operators.seconds.most_common(OPERATORS):
            lines.append(f"| {name} | {1e3 * seconds / PROFILED:.1f} | {one.operators.calls[name] / PROFILED:.0f} |")
    return "\n".join(lines)


if __name__ == "__main__":
    main()
