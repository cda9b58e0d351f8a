"""What smaller exports of a checkpoint cost: bytes, Recall@20 and NDCG@20 of the test, processor seconds of a request.

python -m benchmarks.small_exports CHECKPOINT [--data_path=DIR] [--coefficients=50,100,200,400] [--users=8000]
"""

import argparse
import resource
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any, Optional, Union

import numpy as np
import pandas as pd

from recbole_sheaf.embeddings.embeddings import TEST, Embeddings
from recbole_sheaf.embeddings.ranking import top_lists
from recbole_sheaf.embeddings.reading import embeddings_of
from recbole_sheaf.embeddings.reduction import ALL, AUTO, HALF, WHOLE, reduction_of
from recbole_sheaf.evaluation import to_markdown
from recbole_sheaf.evaluation.ranking import Rankings, per_user_metrics
from recbole_sheaf.experiments.checkpoints import restore
from recbole_sheaf.exports.files import write_embeddings

RECOMMEND = "import sys; from recbole_sheaf.cli import main; sys.exit(main(['recommend', *sys.argv[1:], '--k=10']))"


def main(argv: Optional[list[str]] = None) -> None:
    """Print the table."""
    options = _parser().parse_args(argv)
    sys.argv = sys.argv[:1]
    embeddings = embeddings_of(restore(options.checkpoint, options.data_path))
    numbers = [int(number) for number in options.coefficients.split(",")]
    sizes: list[tuple[Union[int, str], str]] = [
        (ALL, WHOLE),
        (ALL, HALF),
        *[(number, HALF) for number in numbers],
        (AUTO, AUTO),
    ]
    rows: list[dict[str, Any]] = []
    for coefficients, dtype in sizes:
        reduction = reduction_of(embeddings, coefficients, dtype)
        row = _row(reduction.of(embeddings), options.users)
        rows.append({"coefficients": coefficients, "numbers": dtype, **row})
        print(to_markdown(pd.DataFrame(rows[-1:])), flush=True)
    print(to_markdown(pd.DataFrame(rows)))


def _row(embeddings: Embeddings, most_users: int) -> dict[str, Any]:
    held_out = embeddings.histories.matrix(np.arange(len(embeddings.users)), [TEST], len(embeddings.items))
    users = np.flatnonzero(np.diff(held_out.indptr))
    users = users[np.unique(np.linspace(0, len(users) - 1, min(most_users, len(users))).astype(int))]
    held_out = held_out[users]
    lists = np.concatenate([some.items for some in top_lists(embeddings, users, 20, seen="at_test")])
    offsets, items = (array.astype(np.int64) for array in (held_out.indptr, held_out.indices))
    metrics = per_user_metrics(Rankings(users, lists, offsets, items), ["Recall", "NDCG"], [20]).mean()
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "x.npz"
        write_embeddings(embeddings, path)
        size, seconds = path.stat().st_size, _seconds(path, str(embeddings.users[0]))
    held = 0 if embeddings.coefficients is None else len(embeddings.coefficients.data)
    return {"kept": held, "MB": round(size / 1e6, 1), **metrics.round(5).to_dict(), "seconds": round(seconds, 2)}


def _seconds(path: Path, user: str) -> float:
    """Of the processor, for the list of one user in a new process; the least of three."""
    found = []
    for _ in range(3):
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        command = [sys.executable, "-c", RECOMMEND, str(path), f"--user={user}"]
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        found.append(after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)
    return min(found)


def _parser() -> argparse.ArgumentParser:
    options = argparse.ArgumentParser(prog="python -m benchmarks.small_exports", description=__doc__)
    options.add_argument("checkpoint", type=Path)
    options.add_argument("--data_path")
    options.add_argument("--coefficients", default="50,100,200,400")
    options.add_argument("--users", type=int, default=8000)
    return options


if __name__ == "__main__":
    main()
