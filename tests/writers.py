"""Every writer of the package on something of two versions, and what of it is found: kills and full disks try them all.

``python -m tests.writers SEED`` kills each at random moments and prints, as JSON, what it found amiss.
"""

import atexit
import functools
import itertools
import json
import os
import random
import shutil
import signal
import sys
import tempfile
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any, Callable, NamedTuple

import numpy as np
import pandas as pd
import torch

from recbole_sheaf.data import conversion, mmrec, vk_lsvd
from recbole_sheaf.embeddings.embeddings import Block, Embeddings, Histories
from recbole_sheaf.embeddings.ranking import Lists
from recbole_sheaf.evaluation import write_table
from recbole_sheaf.experiments.runs import run_models
from recbole_sheaf.experiments.sinks import JsonLines
from recbole_sheaf.experiments.updating import update
from recbole_sheaf.exports.files import write_embeddings
from recbole_sheaf.exports.lists import OF_USERS, write_lists
from recbole_sheaf.files.cache import load_arrays, save_checked
from recbole_sheaf.files.checkpoint_file import read_checkpoint_file, write_checkpoint, write_pickle
from recbole_sheaf.files.feature_files import read_features, write_features
from recbole_sheaf.files.whole_files import BUILDING, append_json, whole_files_in, whole_folder, write_whole
from recbole_sheaf.store.store import Store
from tests.data.vk_lsvd import write_vk_lsvd

ROWS, WIDTH = 400, 200  # of float32: 312 KiB
USERS = 300
KILLS = 10


class Writer(NamedTuple):
    """``write`` puts a version into a folder; ``found`` gives the versions there, a set for each whole thing."""

    write: Callable[[Path, int], Any]
    found: Callable[[Path], list[set]]
    beside: tuple[str, ...] = ()  # files that stay beside what was written


def matrix(version: int) -> np.ndarray:
    """That no format makes small."""
    noise = np.random.default_rng(version).random((ROWS, WIDTH), dtype=np.float32)
    noise[:, 0] = version
    return noise


def tokens(name: str, number: int) -> np.ndarray:
    return np.array([f"{name}{row}" for row in range(number)])


def embeddings(version: int) -> Embeddings:
    ones = np.arange(ROWS)
    return Embeddings(
        users=tokens("u", ROWS),
        items=tokens("i", ROWS),
        user_vectors=matrix(version),
        item_vectors=matrix(version),
        blocks=(Block("embedding", 0, WIDTH),),
        item_sources=np.zeros((ROWS, 0), np.float32),
        histories=Histories.of(ROWS, ones, ones, np.zeros(ROWS, np.int8)),
        metadata={"version": version, "model": "BPR", "dataset": "toy"},
    )


def in_npz(path: Path) -> set:
    with np.load(path) as file:
        return {float(file["item_vectors"][:, 0].min()), float(file["user_vectors"][:, 0].max())}


def in_safetensors(path: Path) -> set:
    import safetensors.numpy

    file = safetensors.numpy.load_file(path)
    return {float(file["item_vectors"][:, 0].min()), float(file["user_vectors"][:, 0].max())}


def in_parquet(path: Path) -> set:
    import pyarrow.parquet

    return {vector[0] for vector in pyarrow.parquet.read_table(path)["vector"].to_pylist()}


def in_duckdb(path: Path) -> set:
    import duckdb

    with duckdb.connect(str(path), read_only=True) as db:
        assert db.execute("SELECT count(*) FROM recommend('u1', 5)").fetchall() == [(5,)]
        both = "SELECT vector[1] FROM items UNION SELECT vector[1] FROM users"
        return {value for (value,) in db.execute(both).fetchall()}


def export(ending: str, read: Callable[[Path], set]) -> Writer:
    def write(folder: Path, version: int) -> None:
        write_embeddings(embeddings(version), folder / f"x{ending}")

    return Writer(write, lambda folder: [read(path) for path in folder.glob(f"x{ending}")])


def lists(ending: str, read: Callable[[Path], set]) -> Writer:
    def write(folder: Path, version: int) -> None:
        rows, items = np.arange(USERS), np.random.default_rng(version).integers(0, 50, (USERS, 50))
        scores = np.random.default_rng(version).random((USERS, 50), dtype=np.float32) + version * 1000
        made = [Lists(rows, items, scores)]
        write_lists(made, tokens("u", USERS), tokens("i", 50), OF_USERS, folder / f"lists{ending}")

    return Writer(write, lambda folder: [read(path) for path in folder.glob(f"lists{ending}")])


def in_csv(path: Path) -> set:
    table = pd.read_csv(path)
    assert len(table) == USERS * 50
    return set(table.score.astype(float) // 1000)


def in_jsonl(path: Path) -> set:
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    assert len(lines) == USERS
    return {score // 1000 for line in lines for score in line["scores"]}


def in_parquet_of_lists(path: Path) -> set:
    table = pd.read_parquet(path)
    assert len(table) == USERS * 50
    return set(table.score.astype(float) // 1000)


def checkpoint(folder: Path, version: int) -> None:
    state = {"weights": torch.from_numpy(matrix(version))}
    model = SimpleNamespace(state_dict=lambda: state, other_parameter=lambda: {"kept": state["weights"]})
    write_checkpoint(folder / "x.safetensors", model, {"version": version}, {}, {})


def in_checkpoint(path: Path) -> set:
    file = read_checkpoint_file(path)
    return {float(each[0, 0]) for each in (file.state["weights"], file.other["kept"])}


def state(folder: Path, version: int) -> None:
    write_pickle(folder / "state.pth", {"weights": torch.from_numpy(matrix(version))})


def in_state(path: Path) -> set:
    return {float(torch.load(path, weights_only=True)["weights"][-1, 0])}


def features(folder: Path, version: int) -> None:
    write_features(folder / "x.npz", tokens("i", ROWS).tolist(), matrix(version))


def in_features(path: Path) -> set:
    return set(read_features(path)[1][:, 0].tolist())


def cached(folder: Path, version: int) -> None:
    save_checked(folder / "x.npz", {"vectors": matrix(version)}, ["vectors"])


def in_cache(path: Path) -> set:
    arrays = load_arrays(path, ["vectors"])
    assert arrays is not None
    return set(arrays["vectors"][:, 0].tolist())


def table(folder: Path, version: int) -> None:
    write_table(pd.DataFrame({"version": [version] * 5_000}), folder / "x")


def in_table(path: Path) -> set:
    lines = path.read_text().splitlines()
    numbers = [line.strip("| ") for line in lines if line.strip("| ").isdigit()]
    assert len(numbers) == 5_000
    return set(numbers)


def report(folder: Path, version: int) -> None:
    with whole_files_in(folder) as made:
        (made / "figures").mkdir()
        for name in ("report.html", "figures/one.svg"):
            (made / name).write_text(f"{version}\n" * 200_000)


def in_text(path: Path) -> set:
    lines = path.read_text().splitlines()
    assert len(lines) == 200_000
    return set(lines)


def raw(version: int) -> conversion.RawDataset:
    pairs = [(f"u{user}", f"i{item}") for user in range(100) for item in range(50)]
    interactions = pd.DataFrame(pairs, columns=["user_id", "item_id"])
    interactions["rating"] = str(version)
    made = {"image": (tokens("i", ROWS).tolist(), matrix(version))}
    return conversion.RawDataset(conversion.Interactions.of(interactions), features=made)


def converted(folder: Path, version: int) -> None:
    conversion.write_dataset(raw(version), folder / "toy", overwrite=True)


def in_converted(folder: Path) -> list[set]:
    there = folder / "toy"
    if not there.exists():
        return []
    ratings = pd.read_csv(there / "toy.inter", sep="\t")["rating:float"]
    assert len(ratings) == 5000 and (there / "toy.item").read_text().count("\n") == ROWS + 1
    return [{*ratings.astype(float), *in_features(there / "features" / "image.npz")}]


@functools.cache
def weeks_of_vk_lsvd() -> Path:
    """A folder in its layout."""
    folder = Path(tempfile.mkdtemp())
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    write_vk_lsvd(folder, rows=20_000, users=400, items=400)
    return folder


def converted_weeks(folder: Path, version: int) -> None:
    wanted = vk_lsvd.Wanted(positive=f"timespent >= 0 and {version} > 0", dimensions=version)
    vk_lsvd.write_vk_lsvd(weeks_of_vk_lsvd(), folder / "vk", wanted, overwrite=True)


def in_converted_weeks(folder: Path) -> list[set]:
    there = folder / "vk"
    if not there.exists():
        return []
    rows = sum(len(pd.read_csv(path, sep="\t")) for path in there.glob("*.inter"))
    assert rows == 20_000 and len(list(there.glob("*.inter"))) == 4 and not (there / "work").exists()
    return [{float(read_features(there / "features" / "content.npy")[1].shape[1])}]


@functools.cache
def trained() -> Path:
    """A dataset and a checkpoint on it, side by side."""
    folder = Path(tempfile.mkdtemp())
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    base = conversion.Interactions.of(clicks(range(50), rating=1))
    conversion.write_dataset(conversion.RawDataset(base), folder / "toy")
    quiet = {"show_progress": False, "state": "ERROR", "log_to_file": False, "log_tensorboard": False}
    own = {
        **quiet,
        "epochs": 1,
        "embedding_size": 64,
        "data_path": str(folder),
        "checkpoint_dir": str(folder / "saved"),
    }
    made = run_models(["BPR"], "toy", overrides=own)[0].checkpoint
    shutil.move(made, folder / "BPR.safetensors")
    shutil.rmtree(folder / "saved")
    return folder


def clicks(items: range, rating: int) -> pd.DataFrame:
    """Each of 100 users with every second item, names long enough to fill a disk."""
    pairs = [(user, item) for user in range(100) for item in items if (user + item) % 2]
    pairs = [(f"{'user' * 4}{user}", f"{'item' * 4}{item}") for user, item in pairs]
    return pd.DataFrame(pairs, columns=["user_id", "item_id"]).assign(rating=str(rating))


def updated(folder: Path, version: int) -> None:
    """A day's dataset and checkpoint, beside those of the day before."""
    if not (folder / "base").exists():
        with whole_folder(folder / "base") as new:
            shutil.copytree(trained(), new, dirs_exist_ok=True)
    day = conversion.RawDataset(conversion.Interactions.of(clicks(range(50, 60), version)))
    update(folder / "base" / "BPR.safetensors", day, epochs=1, data_path=str(folder / "base"))


def in_updated(folder: Path) -> list[set]:
    """Of each dataset, whole; a checkpoint is there only with its dataset."""
    there = [path for path in sorted((folder / "base").glob("toy-update*")) if path.is_dir()]
    found = []
    for data in there:
        tables = [pd.read_csv(path, sep="\t") for path in data.glob("*.inter")]
        rows = pd.concat(tables)
        assert len(tables) == 3 and len(rows) == 3000 and (data / f"{data.name}.user").read_text().count("\n") == 101
        found.append({*rows["rating:float"][rows["item_id:token"].str.removeprefix("item" * 4).astype(int) >= 50]})
    for path in (folder / "base").glob("*.safetensors"):
        assert (folder / "base" / read_checkpoint_file(path).about["dataset"]).is_dir()
    return found


@functools.cache
def source(version: int) -> Path:
    """An MMRec-style folder."""
    folder = Path(tempfile.mkdtemp())
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    there = folder / f"toy{version}"
    there.mkdir()
    lines = [f"{user}\t{item}\t{user % 3}" for user in range(60) for item in range(20)]
    (there / f"{there.name}.inter").write_text("\n".join(["userID\titemID\tx_label", *lines]) + "\n")
    np.save(there / "image_feat.npy", matrix(version))
    return there


def cached_folder(folder: Path, version: int) -> None:
    there = source(version)
    mmrec.convert_mmrec_folder(there, there.name, folder)


def in_cached_folder(folder: Path) -> list[set]:
    made = list((folder / "mmrec").glob("toy*"))
    assert all(mmrec._is_complete(path) for path in made)
    return [{float(path.name[3])} for path in made]


def stored(folder: Path, version: int) -> None:
    with Store(folder / "x.duckdb").writing() as connection:
        connection.execute(
            "INSERT INTO failures SELECT md5(i::text || now()::text), 'e', 'j', ?, now()::TIMESTAMP "
            "FROM range(2000) t(i)",
            [str(version)],
        )


def in_store(folder: Path) -> list[set]:
    store = Store(folder / "x.duckdb")
    if not store.path.exists() or store.path.stat().st_size == 0:  # killed before the first was there
        return []
    rows = store.rows("SELECT error, count(*) AS n FROM failures GROUP BY error")
    assert (rows.n % 2000 == 0).all()
    return [{float(error)} for error in rows.error]


def appended(folder: Path, version: int) -> None:
    append_json(folder / "rows.jsonl", json.dumps({"version": version, "more": "x" * 300_000}))


def in_lines(path: Path) -> set:
    """Of the last line that has its end; half a line after it goes when the next is appended."""
    lines = [json.loads(line)["version"] for line in path.read_text().rpartition("\n")[0].splitlines()]
    return set(lines[-1:])


def result_file(folder: Path, version: int) -> None:
    """The file's first line in this command, which takes the place of an older file."""
    line = json.dumps({"version": version, "more": "x" * 300_000})
    outcome = SimpleNamespace(completed=SimpleNamespace(to_json=lambda: line))
    JsonLines(folder / "results.jsonl").result(None, outcome)


def text(folder: Path, version: int) -> None:
    write_whole(folder / "x.yaml", f"{version}\n" * 200_000)


def of_file(write: Callable[[Path, int], Any], pattern: str, read: Callable[[Path], set]) -> Writer:
    """Each file that the pattern finds is whole, but for those in the place of work of a writer that was killed."""

    def found(folder: Path) -> list[set]:
        paths = sorted(path for path in folder.glob(pattern) if BUILDING not in str(path.relative_to(folder)))
        return [read(path) for path in paths if path.is_file()]

    return Writer(write, found)


WRITERS = {
    "export.npz": export(".npz", in_npz),
    "export.safetensors": export(".safetensors", in_safetensors),
    "export.parquet": export(".parquet", in_parquet),
    "export.duckdb": export(".duckdb", in_duckdb),
    "lists.csv": lists(".csv", in_csv),
    "lists.jsonl": lists(".jsonl", in_jsonl),
    "lists.parquet": lists(".parquet", in_parquet_of_lists),
    "checkpoint": of_file(checkpoint, "x.safetensors", in_checkpoint),
    "training state": of_file(state, "state.pth", in_state),
    "features": of_file(features, "x.npz", in_features),
    "cache": of_file(cached, "x.npz", in_cache),
    "table": of_file(table, "x.*", in_table),
    "text": of_file(text, "x.yaml", in_text),
    "report": of_file(report, "**/*.*", in_text),
    "converted folder": Writer(converted, in_converted),
    "converted weeks": Writer(converted_weeks, in_converted_weeks),
    "updated dataset and checkpoint": Writer(updated, in_updated),
    "cached folder": Writer(cached_folder, in_cached_folder),
    "result file": of_file(result_file, "results.jsonl", in_lines),
    "appended lines": of_file(appended, "rows.jsonl", in_lines),
    "store": Writer(stored, in_store, ("x.duckdb.lock", "x.duckdb.wal")),
}


def names_in(folder: Path) -> list[str]:
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*"))


def amiss(writer: Writer, folder: Path) -> str:
    """What is neither of the versions 1 and 2; nothing where all is well."""
    found = writer.found(folder)
    mixed = [versions for versions in found if len(versions) != 1 or float(next(iter(versions))) not in (1, 2)]
    return f"between the old and the new: {mixed}" if mixed else ""


def _in_child(call: Callable[[], Any]) -> int:
    """A call in a process of its own, whose id is given; it ends with 0, or 1 after an error."""
    child = os.fork()
    if child:
        return child
    try:
        call()
        os._exit(0)
    except BaseException as error:
        print(repr(error), file=sys.stderr)
        os._exit(1)


def _for_ever(write: Callable[[Path, int], Any], folder: Path) -> None:
    for version in itertools.cycle((2, 1)):
        write(folder, version)


def _check(writer: Writer, folder: Path) -> None:
    assert not amiss(writer, folder), amiss(writer, folder)


def _killed(name: str, folder: Path, rng: random.Random) -> list[str]:
    """Kill one writer again and again; nothing of this process is ever a writer itself."""
    writer, said = WRITERS[name], []
    child = _in_child(lambda: writer.write(folder, 1))
    if os.waitpid(child, 0)[1]:
        return [f"{name} cannot write at all"]
    for kill in range(KILLS):
        child = _in_child(lambda: _for_ever(writer.write, folder))
        time.sleep(rng.random() ** 2 * 0.6)
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        child = _in_child(lambda: _check(writer, folder))
        if os.waitpid(child, 0)[1]:
            said.append(f"{name}: kill {kill} left something between the old and the new")
    said += [  # of what is made once alone, the one that was not finished yet clears the others' leftovers
        f"{name} cannot write any more"
        for version in (2, 1)
        if os.waitpid(_in_child(functools.partial(writer.write, folder, version)), 0)[1]
    ]
    left = [each for each in names_in(folder) if BUILDING in each]
    return said + [f"{name}: left over: {left}"] * bool(left)


def main(seed: int) -> None:
    """Kill them all."""
    source(1), source(2), trained()
    said, rng = [], random.Random(seed)
    for name in WRITERS:
        folder = Path(tempfile.mkdtemp())
        said += _killed(name, folder, rng)
        shutil.rmtree(folder)
    print(json.dumps(said))


if __name__ == "__main__":
    main(int(sys.argv[1]))
