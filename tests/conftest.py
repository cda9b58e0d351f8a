"""Shared fixtures: RecBole sees no command line, writes into a temporary folder, and reads a small dataset."""

import copy
import functools
import gc
import importlib.util
import io
import json
import logging
import os
import sys
import types
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")  # tests are small; more threads wait for one another
os.environ["RECBOLE_SHEAF_LANG"] = "en"  # whatever the developer's locale

import hypothesis
import jaxtyping

REPOSITORY = Path(__file__).resolve().parent.parent

# Shapes and types of arguments and results are checked at every call, in those modules of these rooms that say shapes.
# First of all, before they are imported; not in other modules, since a call through the check costs 15 microseconds and
# more, and mypy knows their types.
SHAPE_CHECKED = (
    *("audit", "data", "embeddings", "evaluation", "exports", "features", "files", "layers", "models", "nsd", "sheaf"),
)
jaxtyping.install_import_hook(
    [
        f"recbole_sheaf.{room}.{path.stem}"
        for room in SHAPE_CHECKED
        for path in sorted((REPOSITORY / "recbole_sheaf" / room).glob("*.py"))
        if path.stem != "__init__" and "from jaxtyping import" in path.read_text("utf-8")
    ],
    "beartype.beartype(conf=beartype.BeartypeConf(is_pep484_tower=True))",
)

import numpy as np  # noqa: E402
import pytest  # noqa: E402

import recbole_sheaf  # noqa: E402, F401  # before RecBole, which imports Ray without it

DATA = Path(os.environ.get("RECBOLE_SHEAF_DATA", REPOSITORY.parent / "shared" / "data"))

# By default the same examples in every run, so that no run fails by chance. HYPOTHESIS_PROFILE=explore draws new ones.
hypothesis.settings.register_profile("fixed", derandomize=True, deadline=None)
hypothesis.settings.register_profile("explore", derandomize=False, deadline=None, print_blob=True)
hypothesis.settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "fixed"))


# DGL has wheels for Python 3.11 alone: elsewhere the tests of its kernels skip, and say so.
HAS_DGL = importlib.util.find_spec("dgl") is not None
KERNELS_HERE = ("dgl", "torch") if HAS_DGL else ("torch",)
needs_dgl = pytest.mark.skipif(not HAS_DGL, reason="DGL has no wheel for this Python")


def pytest_collection_modifyitems(items):
    for item in items:
        params = item.callspec.params.values() if hasattr(item, "callspec") else ()
        if any(isinstance(param, str) and param == "dgl" for param in params):
            item.add_marker(needs_dgl)


class Terminal(io.StringIO):
    """A stream that somebody watches."""

    def isatty(self):
        return True


def script_of_docs(name):
    """A module of ``docs/``, which is no package."""
    spec = importlib.util.spec_from_file_location(name, REPOSITORY / "docs" / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def memory():
    """fsspec's own file system in the memory, empty."""
    import fsspec

    system = fsspec.filesystem("memory")
    system.store.clear()
    yield system
    system.store.clear()


@pytest.fixture(autouse=True)
def no_command_line(monkeypatch):
    """RecBole's Config reads sys.argv, under pytest too."""
    monkeypatch.setattr(sys, "argv", ["pytest"])


@pytest.fixture(scope="session", autouse=True)
def no_stacks_of_seedings():
    """PyTorch formats the stack at each seeding, once for each kind of device that is absent: a twentieth of a test."""
    import torch.mtia
    import torch.xpu

    for kind, module in ((torch.cuda, torch.cuda.random), (torch.xpu, torch.xpu.random), (torch.mtia, torch.mtia)):
        if not kind.is_available():
            module._lazy_call = lambda call, **options: None


@pytest.fixture(autouse=True)
def root_logger_at_warning():
    """What an earlier test made of the root logger's level is no matter of this one: RecBole's runs set it."""
    root = logging.getLogger()
    found = root.level
    root.setLevel(logging.WARNING)
    yield
    root.setLevel(found)


@pytest.fixture
def unchecked_shapes(monkeypatch):
    """As users run, without jaxtyping's checks: wrong shapes reach our own, and trainings take a quarter less."""
    monkeypatch.setattr(jaxtyping.config, "jaxtyping_disable", True)


@pytest.fixture
def workplace(tmp_path, monkeypatch):
    """A temporary current folder, since RecBole writes saved/, log/ and log_tensorboard/ where it runs."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path


@pytest.fixture
def shared_data():
    """Folder of the real datasets; the test skips where they are not."""
    if not DATA.is_dir():
        pytest.skip(f"no datasets in {DATA}; set RECBOLE_SHEAF_DATA to their folder")
    return DATA


@pytest.fixture
def toy(workplace):
    """A dataset 'toy' with two feature files, one of them with missing rows; gives its data_path."""
    write_toy(workplace / "data" / "toy")
    return workplace / "data"


def write_toy(folder: Path, n_users: int = 30, n_items: int = 60, seed: int = 0) -> None:
    """Two tastes: even users like even items; both modalities know the taste."""
    rng = np.random.default_rng(seed)
    folder.mkdir(parents=True)
    lines = ["user_id:token\titem_id:token"]
    for user in range(n_users):
        liked = [item for item in range(n_items) if item % 2 == user % 2]
        lines += [f"u{user}\ti{item}" for item in rng.choice(liked, size=12, replace=False)]
    (folder / f"{folder.name}.inter").write_text("\n".join(lines) + "\n")
    taste = np.where(np.arange(n_items)[:, None] % 2, 1.0, -1.0)
    (folder / "features").mkdir()
    tokens = np.array([f"i{item}" for item in range(n_items)])
    for name, width, rows in (("image", 8, n_items), ("text", 5, n_items - 6)):
        matrix = (taste + 0.1 * rng.standard_normal((n_items, width))).astype(np.float32)
        np.savez(folder / "features" / f"{name}.npz", item_id=tokens[:rows], feature=matrix[:rows])


TOY = {
    "epochs": 2,
    "train_batch_size": 64,
    "show_progress": False,
    "embedding_size": 8,
    "valid_metric": "Recall@10",
    "state": "warning",
}

# Settings in which a model that trains must find the toy dataset's two tastes: .39 is chance, .95 is to know them.
TASTE = {
    "epochs": 10,
    "learning_rate": 0.03,
    "topk": [20],
    "valid_metric": "Recall@20",
    "eval_args": {"split": {"RS": [0.5, 0.2, 0.3]}},
}

# Models that build no graph, and so choose no backend for messages.
WITHOUT_GRAPH = ("VBPR", "ContentKNN", "MMGF", "L3AE")
WITHOUT_CONTENT = ("Sheaf4Rec",)  # models that claim none: content may not change a bit of what they say


# Models that are fitted when they are built: no parameter of theirs is trained.
CLOSED_FORM = ("ItemSheaf", "ContentKNN", "MMGF", "L3AE")
MESSAGES = {"ItemSheaf": {"item_sheaf_neighbours": 5}}  # settings without which a model passes no messages


def content_of(name):
    """Settings that give a model as much content as it takes: SheafRec takes one modality."""
    return {"modalities": ["image"]} if name == "SheafRec" else {}


@pytest.fixture
def toy_settings(toy, request):
    """Settings of a run on the toy dataset that takes a second; a test of a closed form has no embedding_size."""
    settings = {**TOY, "data_path": str(toy), "cache_dir": str(toy.parent / "cache")}
    params = request.node.callspec.params.values() if hasattr(request.node, "callspec") else ()
    if any(isinstance(value, str) and value in CLOSED_FORM for value in params):
        del settings["embedding_size"]
    return settings


def pytest_collection_finish():
    """What was imported stays, and no later garbage collection walks it: statsmodels asks for a whole one per test."""
    if configurator := sys.modules.get("recbole.config.configurator"):
        parse_defaults_once(configurator)
    gc.collect()
    gc.freeze()


def parse_defaults_once(configurator):
    """RecBole parses the YAML of its defaults for every ``Config``, of which tests make thousands."""
    parsed, reads = functools.cache(configurator.yaml.load), types.SimpleNamespace(**vars(configurator.yaml))
    reads.load = lambda text, Loader: copy.deepcopy(parsed(text, Loader=Loader))
    configurator.yaml = reads


def opened(path):
    """The JSON and the tensors of a checkpoint."""
    from safetensors import safe_open

    from recbole_sheaf.files.checkpoint_file import KEY

    with safe_open(path, "pt") as file:
        return json.loads(file.metadata()[KEY]), {name: file.get_tensor(name) for name in file.keys()}
