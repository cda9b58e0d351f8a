"""What VK-LSVD's layout takes to convert: made up in five weeks, brought into a dataset folder; seconds and memory.

    OMP_NUM_THREADS=1 python -m benchmarks.vk_lsvd --folder=/tmp/vk [--rows=1000000] [--users=20000] [--items=10000]

Prints a Markdown table, a row for each command, which runs in a process of its own, and the first of which only loads
the package. The folder is removed at the end. Linux only.
"""

import argparse
import shutil
import sys
from pathlib import Path

from benchmarks.measuring import machine
from benchmarks.million_items import measured
from tests.data.vk_lsvd import write_vk_lsvd

WEEKS = 5


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--folder", type=Path, required=True, help="is made, and removed at the end")
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--users", type=int, default=20_000)
    parser.add_argument("--items", type=int, default=10_000)
    parser.add_argument("--generate", action="store_true", help="make the data alone")
    options = parser.parse_args()
    if options.generate:
        write_vk_lsvd(options.folder / "vk", WEEKS, options.rows, options.users, options.items)
        return
    options.folder.mkdir(parents=True)
    sizes = [f"--{name}={getattr(options, name)}" for name in ("rows", "users", "items")]
    print(f"{options.rows:,} rows, {options.users:,} users, {options.items:,} items; {machine()}\n")
    print("| step | seconds | peak GiB | MB written |\n|---|---|---|---|", flush=True)
    convert = [str(Path(sys.executable).with_name("recbole-sheaf")), "convert", "vk", "--layout=vk-lsvd"]
    try:
        command = ["-m", "benchmarks.vk_lsvd", f"--folder={options.folder.resolve()}", "--generate", *sizes]
        measured("generate", command, options.folder, Path.cwd())
        measured("load the package", ["-c", "import recbole_sheaf.data.vk_lsvd"], options.folder)
        measured("convert", [*convert, "--to=data/all"], options.folder)
        measured("convert, --memory=64MB", [*convert, "--to=data/little", "--memory=64MB"], options.folder)
        drawn = ["--users=5000", "--items=5000", "--dimensions=16"]
        measured("convert, 5,000 users and items", [*convert, "--to=data/drawn", *drawn], options.folder)
    finally:
        shutil.rmtree(options.folder)


if __name__ == "__main__":
    main()
