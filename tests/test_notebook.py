"""The notebooks of examples: as they are committed, before CI runs each as a whole."""

import ast
import configparser
import importlib
import json

import pytest

from tests.conftest import REPOSITORY

NOTEBOOK, COURSEWORK = (REPOSITORY / "examples" / f"{name}.ipynb" for name in ("first_steps", "coursework"))
both = pytest.mark.parametrize("path", [NOTEBOOK, COURSEWORK], ids=["first_steps", "coursework"])


@pytest.fixture(scope="module")
def notebook():
    return read(NOTEBOOK)


def read(path):
    return json.loads(path.read_text(encoding="utf-8"))


def code_of(path):
    return ["".join(cell["source"]) for cell in read(path)["cells"] if cell["cell_type"] == "code"]


def test_it_is_a_notebook_without_outputs(notebook):
    assert notebook["nbformat"] == 4 and notebook["metadata"]["kernelspec"]["name"] == "python3"
    ids = [cell["id"] for cell in notebook["cells"]]
    assert len(set(ids)) == len(ids) > 10
    for cell in notebook["cells"]:
        assert cell.get("outputs", []) == [] and cell.get("execution_count") is None and cell["metadata"] == {}
        assert set(cell) >= {"outputs", "execution_count"} or cell["cell_type"] == "markdown"


@both
def test_each_cell_is_python_and_what_it_takes_from_us_is_there(path):
    taken = [node for cell in code_of(path) for node in ast.walk(ast.parse(cell)) if isinstance(node, ast.ImportFrom)]
    ours = [node for node in taken if node.module.startswith("recbole_sheaf")]
    assert len(ours) > 3
    for node in ours:
        module = importlib.import_module(node.module)
        assert all(hasattr(module, alias.name) for alias in node.names), node.module


def test_it_trains_ours_beside_others_and_leaves_nothing_where_it_lies():
    everything = "\n".join(code_of(NOTEBOOK))
    assert '"MMSheaf"' in everything and '"EASE"' in everything
    assert everything.index("os.chdir(tempfile.mkdtemp())") < everything.index("run_models([")


@both
def test_a_table_stands_after_what_it_needs(path):
    """Names that a cell reads are made by it or by one before it, so that it runs from top to bottom."""
    made = set(dir(__builtins__)) | set(dir(importlib.import_module("builtins")))
    for cell in code_of(path):
        tree = ast.parse(cell)
        names = [node for node in ast.walk(tree) if isinstance(node, ast.Name)]
        aliases = [
            alias for node in ast.walk(tree) if isinstance(node, (ast.Import, ast.ImportFrom)) for alias in node.names
        ]
        made |= {(alias.asname or alias.name).split(".")[0] for alias in aliases}
        made |= {name.id for name in names if isinstance(name.ctx, ast.Store)}
        made |= {node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)}
        made |= {node.arg for node in ast.walk(tree) if isinstance(node, ast.arg)}
        assert {name.id for name in names} <= made, cell


@both
def test_ci_runs_it_with_its_own_extra(path):
    ci = (REPOSITORY / ".ci" / "run").read_text()
    seconds = {NOTEBOOK: 600, COURSEWORK: 300}[path]
    assert ci.index("-r requirements/notebook.txt") < ci.index(
        f"jupyter execute --timeout={seconds} {path.relative_to(REPOSITORY)}"
    )
    setup = configparser.ConfigParser()
    setup.read(REPOSITORY / "setup.cfg")
    pinned = (REPOSITORY / "requirements" / "notebook.txt").read_text()
    extra = [line.partition(">=")[0].strip() for line in setup["options.extras_require"]["notebook"].split()]
    assert set(extra) == {"ipykernel", "ipywidgets", "nbclient"} and all(f"{name}==" in pinned for name in extra)
