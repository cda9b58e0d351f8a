"""Arrows between rooms point one way: what the import statements of each room name, and nothing else."""

import ast
import importlib
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
# They import no room, or those beneath, so any room but the mathematics may import them.
ANYWHERE = {"errors", "extras", "lazy_names", "plain_text", "regular_files", "settings", "unit_length", "whole_files"}
WORDS = "settings.vocabulary"  # a module of a room, the others of which are not to be known
ROOMS = {
    "sheaf": {"errors", WORDS, "unit_length"},
    "layers": {"errors", WORDS, "unit_length", "sheaf"},
    "features": ANYWHERE,
    "data": {*ANYWHERE, "features"},  # graphs of nearest items read features, and folders of MMRec become such files
    "models": {*ANYWHERE, "sheaf", "layers", "features", "data"},  # data for the graphs that a model is built on
    "evaluation": {"errors", "plain_text", "regular_files", "whole_files"},
    "plugin": {*ANYWHERE, "checkpoint_file", "data", "features", "models"},  # models: the softmax for RecBole's own
    # features for the files that count for a run; environment for what workers set in their own process
    "experiments": {*ANYWHERE, "checkpoint_file", "data", "environment", "evaluation", "features", "models", "plugin"},
    "embeddings": {*ANYWHERE, "sheaf", "layers", "features", "models", "experiments"},  # a restored model, taken apart
    "serving": {*ANYWHERE, "features", "embeddings"},  # features: tables of titles are read as tables of texts are
    "nsd": {*ANYWHERE, "environment", "sheaf", "layers"},
    "report": {*ANYWHERE, "embeddings", "evaluation", "experiments"},  # stores and exported files, never a model
    "settings": {"errors", "regular_files"},
    "cli": {
        *{*ANYWHERE, "environment", "data", "features", "embeddings", "evaluation", "experiments", "nsd", "plugin"},
        *{"report", "serving"},
    },
    # Modules beside the rooms.
    "errors": set(),
    "unit_length": set(),
    "extras": {"errors"},
    "lazy_names": set(),
    "plain_text": set(),
    "regular_files": {"errors"},
    "whole_files": {"errors"},
    "environment": {"errors"},
    "checkpoint_file": {"errors", "whole_files"},
    "__init__": {"environment", "lazy_names", "plugin"},
}
STRANGERS = {
    "sheaf": {"dgl", "recbole"},
    "layers": {"recbole"},
    "nsd": {"recbole"},
    "evaluation": {"dgl", "recbole"},
    "report": {"dgl", "recbole"},
}


def imports(path):
    """Every module that a file imports, wherever in it the statement stands, as a dotted name."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert not node.level, f"{path} imports relatively"
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def files_of(room):
    files = sorted((PACKAGE / room).rglob("*.py")) or [PACKAGE / f"{room}.py"]
    assert all(file.is_file() for file in files)
    return files


def test_every_room_is_written_down():
    there = {path.stem for path in PACKAGE.iterdir() if path.suffix == ".py" or (path / "__init__.py").is_file()}
    assert there == set(ROOMS)


@pytest.mark.parametrize("room", ROOMS)
def test_a_room_imports_the_rooms_below_it_alone(room):
    whole = {room, *ROOMS[room]}
    for path in files_of(room):
        ours = [f"{name}.__init__".split(".") for name in imports(path) if name.split(".")[0] == "recbole_sheaf"]
        wrong = {".".join(name[1:3]) for name in ours if not {name[1], ".".join(name[1:3])} & whole}
        assert not wrong, f"{path.relative_to(PACKAGE)} imports {', '.join(sorted(wrong))}"


@pytest.mark.parametrize("room", STRANGERS)
def test_a_room_knows_no_library_of_those_above_it(room):
    for path in files_of(room):
        wrong = {name.split(".")[0] for name in imports(path)} & STRANGERS[room]
        assert not wrong, f"{path.relative_to(PACKAGE)} imports {', '.join(sorted(wrong))}"


def test_no_arrow_closes_a_circle():
    below = {room: {name.split(".")[0] for name in allowed} for room, allowed in ROOMS.items()}
    while ends := {room for room, rooms in below.items() if not rooms & below.keys()}:
        below = {room: rooms for room, rooms in below.items() if room not in ends}
    assert not below


@pytest.mark.parametrize("model", MODELS)
def test_node_classification_counts_for_no_recommender(model):
    reached = run_id._reached((*run_id._ROOTS, MODELS[model]))
    assert MODELS[model] in reached and any(name.startswith("recbole_sheaf.layers.") for name in reached)
    assert not [name for name in reached if name.startswith("recbole_sheaf.nsd")]


def test_every_room_that_says_shapes_is_checked_while_tests_run():
    says = {room for room in ROOMS if any("jaxtyping" in name for file in files_of(room) for name in imports(file))}
    assert says == set(SHAPE_CHECKED)
    for room in SHAPE_CHECKED:
        for file in files_of(room):
            module = importlib.import_module(".".join(file.relative_to(PACKAGE.parent).with_suffix("").parts))
            assert type(module.__spec__.loader).__module__.startswith("jaxtyping"), module.__name__
    with pytest.raises(jaxtyping.TypeCheckError):
        matrix_inverse_sqrt(torch.zeros(2, 3, 4))
