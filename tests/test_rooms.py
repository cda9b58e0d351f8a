"""Arrows between rooms point one way: what the import statements of each room name, and nothing else."""

import ast
import importlib
import itertools
from pathlib import Path

import jaxtyping
import pytest
import torch

import recbole_sheaf
from recbole_sheaf.experiments import run_id
from recbole_sheaf.plugin.registration import MODELS
from recbole_sheaf.sheaf.inverse_sqrt import matrix_inverse_sqrt
from tests.conftest import SHAPE_CHECKED

PACKAGE = Path(recbole_sheaf.__file__).parent
WORDS = "settings.vocabulary"  # a module of a room, the others of which are not to be known
PIECES = "models.score_factors"  # another: what models say of their scores, in plain data
ROOMS = {
    "sheaf": {"errors", WORDS},
    "layers": {"errors", WORDS, "sheaf"},
    "files": {"errors", "extras"},
    "settings": {"errors", "files"},
    "features": {  # sheaf: rows at length 1
        *{"errors", "extras", "files", "lazy_names", "settings", "sheaf", "workers"},
    },
    "data": {"errors", "features", "files", "settings"},  # graphs of nearest items, and folders of MMRec, have features
    "models": {"data", "errors", "features", "layers", "settings", "sheaf", "workers"},  # data: graphs
    "plugin": {  # models: the softmax for RecBole's own, and what these score by
        *{"data", "errors", "extras", "files", "models", "settings", "sheaf"},
    },
    "evaluation": {"errors", "files"},
    "store": {"errors", "evaluation", "files"},
    "workers": {"environment", "errors", "extras", "reachable"},
    "experiments": {
        *{"data", "environment", "errors", "evaluation", "features", "files", "models", "plugin", "reachable"},
        *{"settings", "store", "workers"},
    },
    "embeddings": {  # what a restored model says of its scores; plugin: in the place of RecBole's own
        *{"data", "errors", "evaluation", "experiments", "extras", "features", "files", "lazy_names", "plugin"},
        *{"settings", "sheaf", PIECES},  # data: conditions over the item table
    },
    "exports": {  # experiments: checkpoints
        *{"embeddings", "errors", "experiments", "extras", "files", "lazy_names", "reachable", "workers"},
    },
    "serving": {"embeddings", "errors", "exports", "files"},
    "report": {"embeddings", "errors", "evaluation", "experiments", "exports", "files", "settings", "store"},
    "audit": {"data", "errors", "experiments", "features", "models", "report", "settings"},  # models: reading content
    "nsd": {"environment", "errors", "files", "layers", "settings", "sheaf"},
    "cli": {
        *{"audit", "data", "embeddings", "environment", "errors", "evaluation", "experiments", "exports", "extras"},
        *{"features", "files", "nsd", "plugin", "report", "serving", "settings", "store", "workers"},
    },
    # Modules beside the rooms.
    "environment": {"errors"},
    "errors": set(),
    "extras": {"errors"},
    "lazy_names": set(),
    "reachable": {"errors"},
    "__init__": {"environment", "errors", "lazy_names", "plugin"},
    "__main__": {"cli"},
}
STRANGERS = {
    "sheaf": {"dgl", "recbole"},
    "layers": {"recbole"},
    "nsd": {"recbole"},
    "evaluation": {"dgl", "recbole"},
    "report": {"dgl", "recbole"},
    "store": {"dgl", "recbole", "torch"},
}


def imports(path):
    """Every module that a file imports, wherever in it the statement stands, as a dotted name."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert not node.level, f"{path} imports relatively"
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def named_in_text(path):
    """Modules that a file names in a string, from which they may be imported, with the package's name or without."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            room, *module = node.value.removeprefix("recbole_sheaf.").split(".")
            if module and PACKAGE.joinpath(room, *module).with_suffix(".py").is_file():
                yield ".".join(["recbole_sheaf", room, *module])


def files_of(room):
    files = sorted((PACKAGE / room).rglob("*.py")) or [PACKAGE / f"{room}.py"]
    assert all(file.is_file() for file in files)
    return files


def test_every_room_is_written_down():
    there = {path.stem for path in PACKAGE.iterdir() if path.suffix == ".py" or (path / "__init__.py").is_file()}
    assert there == set(ROOMS)


@pytest.mark.parametrize("room", ROOMS)
def test_a_room_imports_the_rooms_that_are_written_down(room):
    """No other, and each of them: an arrow that is used no more goes from the table."""
    used = set()
    for path in files_of(room):
        names = (*imports(path), *named_in_text(path))
        ours = [f"{name}.__init__".split(".") for name in names if name.split(".")[0] == "recbole_sheaf"]
        for _, *name in (name for name in ours if name[1] != room):
            known = {name[0], ".".join(name[:2])} & ROOMS[room]
            assert known, f"{path.relative_to(PACKAGE)} imports {'.'.join(name[:2])}"
            used |= known
    assert used == ROOMS[room]


@pytest.mark.parametrize("room", STRANGERS)
def test_a_room_knows_no_library_of_those_above_it(room):
    for path in files_of(room):
        wrong = {name.split(".")[0] for name in imports(path)} & STRANGERS[room]
        assert not wrong, f"{path.relative_to(PACKAGE)} imports {', '.join(sorted(wrong))}"


def test_no_arrow_closes_a_circle():
    assert not circle_in({room: {name.split(".")[0] for name in below} for room, below in ROOMS.items()})


def test_no_modules_import_one_another():
    """Nor by way of others, inside a function, or for types alone: what is written first can be read first."""
    files = {".".join(file.relative_to(PACKAGE.parent).with_suffix("").parts): file for file in PACKAGE.rglob("*.py")}
    modules = {name.removesuffix(".__init__"): file for name, file in files.items()}
    below = {
        name: {module for each in imports(file) for module in (each, each.rpartition(".")[0]) if module in modules}
        for name, file in modules.items()
    }
    assert not circle_in({name: imported - {name} for name, imported in below.items()})


def circle_in(below):
    """What is left of a graph once whatever has nothing beneath it is taken away, again and again."""
    while ends := {name for name, others in below.items() if not others & below.keys()}:
        below = {name: others for name, others in below.items() if name not in ends}
    return sorted(below)


@pytest.mark.parametrize("model", MODELS)
def test_node_classification_counts_for_no_recommender(model):
    reached = run_id._reached((*run_id._ROOTS, MODELS[model]))
    assert MODELS[model] in reached and any(name.startswith("recbole_sheaf.layers.") for name in reached)
    assert not [name for name in reached if name.startswith("recbole_sheaf.nsd")]


def test_every_module_that_says_shapes_is_checked_while_tests_run():
    says = {
        room: [file for file in files_of(room) if any("jaxtyping" in name for name in imports(file))] for room in ROOMS
    }
    assert {room for room, files in says.items() if files} == set(SHAPE_CHECKED)
    for file in itertools.chain(*says.values()):
        module = importlib.import_module(".".join(file.relative_to(PACKAGE.parent).with_suffix("").parts))
        assert type(module.__spec__.loader).__module__.startswith("jaxtyping"), module.__name__
    with pytest.raises(jaxtyping.TypeCheckError):
        matrix_inverse_sqrt(torch.zeros(2, 3, 4))
