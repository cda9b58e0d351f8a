"""The notebook of examples: as it is committed, before CI runs it as a whole."""

import ast
import configparser
import importlib
import json

import pytest

from tests.conftest import REPOSITORY

NOTEBOOK = REPOSITORY / "examples" / "first_steps.ipynb"


@pytest.fixture(scope="module")
def notebook():
    return json.loads(NOTEBOOK.read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def code(notebook):
    return ["".join(cell["source"]) for cell in notebook["cells"] if cell["cell_type"] == "code"]


def test_it_is_a_notebook_without_outputs(notebook):
    assert notebook["nbformat"] == 4 and notebook["metadata"]["kernelspec"]["name"] == "python3"
    ids = [cell["id"] for cell in notebook["cells"]]
    assert len(set(ids)) == len(ids) > 10
    for cell in notebook["cells"]:
        assert cell.get("outputs", []) == [] and cell.get("execution_count") is None and cell["metadata"] == {}
        assert set(cell) >= {"outputs", "execution_count"} or cell["cell_type"] == "markdown"


def test_each_cell_is_python_and_what_it_takes_from_us_is_there(code):
    taken = [node for cell in code for node in ast.walk(ast.parse(cell)) if isinstance(node, ast.ImportFrom)]
    ours = [node for node in taken if node.module.startswith("recbole_sheaf")]
    assert len(ours) > 3
    for node in ours:
        module = importlib.import_module(node.module)
        assert all(hasattr(module, alias.name) for alias in node.names), node.module


def test_it_trains_ours_beside_others_and_leaves_nothing_where_it_lies(code):
    everything = "\n".join(code)
    assert '"MMSheaf"' in everything and '"EASE"' in everything
    assert everything.index("os.chdir(tempfile.mkdtemp())") < everything.index("run_models([")


def test_a_table_stands_after_what_it_needs(code):
    """Names that a cell reads are made by it or by one before it, so that it runs from top to bottom."""
    made = set(dir(__builtins__)) | set(dir(importlib.import_module("builtins")))
    for cell in code:
        tree = ast.parse(cell)
        names = [node for node in ast.walk(tree) if isinstance(node, ast.Name)]
        aliases = [
            alias for node in ast.walk(tree) if isinstance(node, (ast.Import, ast.ImportFrom)) for alias in node.names
        ]
        made |= {(alias.asname or alias.name).split(".")[0] for alias in aliases}
        made |= {name.id for name in names if isinstance(name.ctx, ast.Store)}
        assert {name.id for name in names} <= made, cell


def test_ci_runs_it_with_its_own_extra():
    ci = (REPOSITORY / ".ci" / "run").read_text()
    assert ci.index("-r requirements/notebook.txt") < ci.index(
        f"jupyter execute --timeout=600 {NOTEBOOK.relative_to(REPOSITORY)}"
    )
    setup = configparser.ConfigParser()
    setup.read(REPOSITORY / "setup.cfg")
    pinned = (REPOSITORY / "requirements" / "notebook.txt").read_text()
    extra = [line.partition(">=")[0].strip() for line in setup["options.extras_require"]["notebook"].split()]
    assert set(extra) == {"ipykernel", "ipywidgets", "nbclient"} and all(f"{name}==" in pinned for name in extra)
