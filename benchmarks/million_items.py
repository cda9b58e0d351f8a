"""What a catalogue of a million items takes: made up, trained on, exported, recommended from; seconds and memory.

    OMP_NUM_THREADS=1 python -m benchmarks.million_items --folder=/tmp/million [--items=1000000] [--users=200000]

Prints a Markdown table, a row for each command, which runs in a process of its own. Users keep to their tastes, in
which popularity falls as a power; content says the taste, in float16. The folder, some 4 GB, is removed at the end.
Each command is ended after ten minutes. Linux only.
"""

import argparse
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

import numpy as np

from benchmarks.measuring import machine

WIDTH, TASTE, PER_USER = 64, 1000, 5  # columns of content, items of one taste, interactions of a user
LIMIT = 600  # seconds of a command
SETTINGS = {
    "epochs": 1,
    "eval_args": "{'split': {'RS': [0.999, 0.0005, 0.0005]}, 'group_by': None}",
    "load_col": "{'inter': ['user_id', 'item_id'], 'item': ['item_id']}",  # items without interactions too
    "embedding_size": 32,
    "train_batch_size": 25_000,
    "softmax_items": 4096,
    "eval_batch_size": 64_000_000,  # 64 users at once; with four, each step of the item sheaf walks all arcs for four
    "item_sheaf_neighbours": 20,
    "show_progress": False,
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--folder", type=Path, required=True, help="is made, and removed at the end")
    parser.add_argument("--items", type=int, default=1_000_000)
    parser.add_argument("--users", type=int, default=200_000)
    parser.add_argument("--keep", action="store_true", help="leave the folder")
    parser.add_argument("--generate", action="store_true", help="make the data alone")
    options = parser.parse_args()
    if options.generate:
        generate(options.folder / "data" / "million", options.items, options.users)
        return
    options.folder.mkdir(parents=True)
    sizes = [f"--items={options.items}", f"--users={options.users}"]
    print(f"{options.items:,} items, {options.users:,} users, {PER_USER * options.users:,} interactions; {machine()}\n")
    print("| step | seconds | peak GiB | MB written |\n|---|---|---|---|", flush=True)
    try:
        command = ["-m", "benchmarks.million_items", f"--folder={options.folder.resolve()}", "--generate", *sizes]
        measured("generate", command, options.folder, Path.cwd())
        steps(options.folder)
    finally:
        if not options.keep:
            shutil.rmtree(options.folder)


def steps(folder: Path) -> None:
    """Train, take the embeddings away, and recommend from them."""
    settings = [f"--{key}={value}" for key, value in SETTINGS.items()]
    ours = [str(Path(sys.executable).with_name("recbole-sheaf"))]
    run = [*ours, "run", "--model=MMSheaf", "--dataset=million", "--data_path=data", "--cache_dir=cache", *settings]
    measured("run, 1 epoch", run, folder)
    checkpoint = next((folder / "saved").glob("*.safetensors"))
    checkpoint = checkpoint.rename(folder / "saved" / "best.safetensors")
    measured("export, .npz", [*ours, "export", "saved/best.safetensors", "--to=x.npz"], folder)
    measured("export, .duckdb", [*ours, "export", "saved/best.safetensors", "--to=x.duckdb"], folder)
    (folder / "users.txt").write_text("".join(f"u{user}\n" for user in range(1000)))
    recommend = [*ours, "recommend", "x.npz", "--users=users.txt", "--k=20"]
    measured("recommend, 1,000 users", [*recommend, "--to=exact.csv"], folder)
    measured("recommend, 1,000 users, approximate", [*recommend, "--to=near.csv", "--approximate"], folder)


def measured(name: str, command: "list[str]", folder: Path, cwd: "Path | None" = None) -> None:
    """Run a command to its end and print its row; what it said goes to a log in the folder."""
    before, start = size_of(folder), time.perf_counter()
    with open(folder / "log.txt", "a", encoding="utf-8") as log:
        log.write(f"\n== {name}\n")
        log.flush()
        limited = ["timeout", str(LIMIT), sys.executable, *command]
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


def generate(folder: Path, n_items: int, n_users: int) -> None:
    """Interactions, a list of the items, and one modality as .npz."""
    rng = np.random.default_rng(0)
    (folder / "features").mkdir(parents=True)
    count = PER_USER * n_users
    users = np.repeat(np.arange(n_users), PER_USER)
    taste = rng.integers(0, max(n_items // TASTE, 1), n_users)[users]
    places = (rng.random(count) ** 2 * TASTE).astype(np.int64)
    items = np.where(rng.random(count) < 0.2, rng.integers(0, n_items, count), taste * TASTE + places) % n_items
    with open(folder / "million.inter", "w", encoding="utf-8") as file:
        file.write("user_id:token\titem_id:token\n")
        file.writelines(f"u{user}\ti{item}\n" for user, item in zip(users.tolist(), items.tolist()))
    with open(folder / "million.item", "w", encoding="utf-8") as file:
        file.write("item_id:token\n")
        file.writelines(f"i{item}\n" for item in range(n_items))
    centres = rng.standard_normal((n_items // TASTE + 1, WIDTH), dtype=np.float32)
    rows = centres[np.arange(n_items) // TASTE] + rng.standard_normal((n_items, WIDTH), dtype=np.float32)
    tokens = np.array([f"i{item}" for item in range(n_items)])
    np.savez(folder / "features" / "video.npz", item_id=tokens, feature=rows.astype(np.float16))


if __name__ == "__main__":
    main()
