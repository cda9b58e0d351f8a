r"""What a catalogue of a million items takes: made up, converted, trained on, exported, recommended from; beside ALS.

    OMP_NUM_THREADS=1 python -m benchmarks.million_items --folder=/tmp/million [--items=1000000] [--users=200000] \
        [--per-user=50] [--implicit=PYTHON]

Prints a Markdown table, a row for each command, which runs in a process of its own. Users keep to their tastes, in
which popularity falls as a power; content says the taste, in float16. Of 1,000 users one interaction is held out for
validation, of as many others one for the test. PYTHON is an interpreter that has implicit (with NumPy and SciPy): its
ALS is trained on the same interactions and asked for the same users. The folder, some 6 GB, is removed at the end.
Each command is ended after an hour. Linux only.
"""

import argparse
import json
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

import numpy as np

from benchmarks.measuring import machine

WIDTH, TASTE, HELD_OUT = 64, 1000, 1000  # columns of content, items of one taste, users of each held-out part
LIMIT = 3600  # seconds of a command
STEPS = 8  # of an epoch
SETTINGS = {
    "epochs": 1,
    "benchmark_filename": "[train, valid, test]",
    "load_col": "{'inter': ['user_id', 'item_id'], 'item': ['item_id']}",  # items without interactions too
    "embedding_size": 32,
    "softmax_items": 4096,
    "eval_batch_size": 16_000_000,  # 16 users at once; with four, each step of the item sheaf walks all arcs for four
    "item_sheaf_neighbours": 20,
    "show_progress": False,
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--folder", type=Path, required=True, help="is made, and removed at the end")
    parser.add_argument("--items", type=int, default=1_000_000)
    parser.add_argument("--users", type=int, default=200_000)
    parser.add_argument("--per-user", type=int, default=50, help="interactions, some of them twice")
    parser.add_argument("--implicit", metavar="PYTHON", help="an interpreter with implicit, for its ALS")
    parser.add_argument("--keep", action="store_true", help="leave the folder")
    parser.add_argument("--generate", action="store_true", help="make the data alone")
    options = parser.parse_args()
    if options.generate:
        generate(options.folder, options.items, options.users, options.per_user)
        return
    options.folder.mkdir(parents=True)
    sizes = [f"--items={options.items}", f"--users={options.users}", f"--per-user={options.per_user}"]
    print(
        f"{options.items:,} items, {options.users:,} users, {options.per_user} interactions a user, {machine()}\n\n"
        "| step | seconds | peak GiB | MB written |\n|---|---|---|---|",
        flush=True,
    )
    try:
        command = ["-m", "benchmarks.million_items", f"--folder={options.folder.resolve()}", "--generate", *sizes]
        measured("generate", command, options.folder, Path.cwd())
        steps(options.folder, options.users * options.per_user)
        if options.implicit:
            als = [str(Path(__file__).with_name("implicit_als.py")), "interactions.npz", "als.json"]
            measured("implicit ALS, 64 factors, 15 iterations", als, options.folder, python=options.implicit)
            print(f"\nALS: {(options.folder / 'als.json').read_text()}")
        result = json.loads((options.folder / "run.json").read_text())
        print(f"\nMMSheaf, one epoch, test: {result['test']}")
    finally:
        if not options.keep:
            shutil.rmtree(options.folder)


def steps(folder: Path, interactions: int) -> None:
    """Convert, train, take the embeddings away, and recommend from them."""
    settings = [f"--{key}={value}" for key, value in SETTINGS.items()]
    ours = [str(Path(sys.executable).with_name("recbole-sheaf"))]
    converting = ["--to=converted/million", "--items=items.parquet", "--features=video=video.npz"]
    measured("convert", [*ours, "convert", "clicks.parquet", *converting], folder)
    run = [*ours, "run", "--model=MMSheaf", "--dataset=million", "--data_path=data", "--cache_dir=cache", *settings]
    batch = [f"--train_batch_size={interactions // STEPS}", "--result_file=run.json"]
    measured("run, 1 epoch", [*run, *batch], folder)
    checkpoint = next((folder / "saved").glob("*.safetensors"))
    checkpoint = checkpoint.rename(folder / "saved" / "best.safetensors")
    measured("export, .npz", [*ours, "export", "saved/best.safetensors", "--to=x.npz"], folder)
    (folder / "users.txt").write_text("".join(f"u{user}\n" for user in range(1000)))
    recommend = [*ours, "recommend", "x.npz", "--users=users.txt", "--k=20"]
    measured("recommend, 1,000 users", [*recommend, "--to=exact.csv"], folder)
    measured("recommend, 1,000 users, approximate", [*recommend, "--to=near.csv", "--approximate"], folder)


def measured(
    name: str, command: "list[str]", folder: Path, cwd: "Path | None" = None, python: str = sys.executable
) -> None:
    """Run a command to its end and print its row; what it said goes to a log in the folder."""
    before, start = size_of(folder), time.perf_counter()
    with open(folder / "log.txt", "a", encoding="utf-8") as log:
        log.write(f"\n== {name}\n")
        log.flush()
        limited = ["timeout", str(LIMIT), python, *command]
        process = subprocess.Popen(limited, cwd=cwd or folder, stdout=log, stderr=subprocess.STDOUT)
        _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    seconds, written = time.perf_counter() - start, (size_of(folder) - before) / 1e6
    print(f"| {name} | {seconds:.0f} | {peak(usage):.2f} | {written:,.0f} |", flush=True)
    if process.returncode:
        last = (folder / "log.txt").read_text(encoding="utf-8")[-2000:]
        raise SystemExit(f"{name} ended with {process.returncode}:\n{last}")


def peak(usage: "os.struct_rusage") -> float:
    """Resident memory of the largest process, in GiB."""
    return usage.ru_maxrss / 2**20


def size_of(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


def generate(folder: Path, n_items: int, n_users: int, per_user: int) -> None:
    """A table of all interactions, the same in three parts as a dataset folder, the items, and one modality."""
    import pyarrow as pa
    from pyarrow import parquet

    rng = np.random.default_rng(0)
    users, items = drawn(rng, n_items, n_users, per_user)
    of_users, of_items = (pa.array(np.arange(n).astype(str)) for n in (n_users, n_items))
    of_users, of_items = (pa.compute.binary_join_element_wise(c, t, "") for c, t in (("u", of_users), ("i", of_items)))
    table = pa.table({"user_id:token": of_users.take(users), "item_id:token": of_items.take(items)})
    catalogue = pa.table({"item_id:token": of_items})
    parquet.write_table(table.rename_columns(["user", "item"]), folder / "clicks.parquet")
    parquet.write_table(catalogue.rename_columns(["item_id"]), folder / "items.parquet")
    data = folder / "data" / "million"
    (data / "features").mkdir(parents=True)
    part = held_out(rng, users, n_users)
    for number, name in enumerate(("train", "valid", "test")):
        write_tabs(table.filter(pa.array(part == number)), data / f"million.{name}.inter")
    write_tabs(catalogue, data / "million.item")
    np.savez(folder / "interactions.npz", users=users, items=items, part=part, shape=(n_users, n_items))
    centres = rng.standard_normal((n_items // TASTE + 1, WIDTH), dtype=np.float32)
    rows = centres[np.arange(n_items) // TASTE] + rng.standard_normal((n_items, WIDTH), dtype=np.float32)
    tokens = np.array([f"i{item}" for item in range(n_items)])
    np.savez(folder / "video.npz", item_id=tokens, feature=rows.astype(np.float16))
    os.link(folder / "video.npz", data / "features" / "video.npz")


def write_tabs(table: "pyarrow.Table", path: Path) -> None:
    """A table of RecBole's, whose header Arrow would put into quotes."""
    from pyarrow import csv

    with open(path, "wb") as file:
        file.write("\t".join(table.column_names).encode() + b"\n")
        csv.write_csv(table, file, csv.WriteOptions(include_header=False, delimiter="\t", quoting_style="none"))


def drawn(rng: np.random.Generator, n_items: int, n_users: int, per_user: int) -> "tuple[np.ndarray, np.ndarray]":
    """Distinct pairs of users and items: four of five are of the user's taste, in which low numbers are popular."""
    count = per_user * n_users
    users = np.repeat(np.arange(n_users), per_user)
    taste = rng.integers(0, max(n_items // TASTE, 1), n_users)[users]
    places = (rng.random(count) ** 2 * TASTE).astype(np.int64)
    items = np.where(rng.random(count) < 0.2, rng.integers(0, n_items, count), taste * TASTE + places) % n_items
    return np.divmod(np.unique(users * n_items + items), n_items)


def held_out(rng: np.random.Generator, users: np.ndarray, n_users: int) -> np.ndarray:
    """Part of each interaction: 0 is trained on; of some users one is in part 1, of as many others one in part 2."""
    part = np.zeros(len(users), dtype=np.int8)
    first = np.searchsorted(users, np.arange(n_users + 1))
    some = rng.permutation(n_users)[: 2 * HELD_OUT]
    chosen = rng.integers(first[some], first[some + 1])
    part[chosen[:HELD_OUT]], part[chosen[HELD_OUT:]] = 1, 2
    return part


if __name__ == "__main__":
    main()
