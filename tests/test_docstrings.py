"""Examples in docstrings run, public functions and classes of some rooms have one, and the reference has all these."""

import ast
import doctest
import importlib
import inspect
import re

import pytest

import recbole_sheaf
from recbole_sheaf import embeddings
from recbole_sheaf.plugin.names import MODELS
from tests.conftest import REPOSITORY
from tests.test_rooms import PACKAGE, files_of

WITH_EXAMPLES = ("sheaf", "layers", "evaluation")
EXAMPLE = ">>> "
REFERENCE = REPOSITORY / "docs" / "reference"
MODULES = sorted(
    ".".join(path.relative_to(PACKAGE.parent).with_suffix("").parts)
    for path in PACKAGE.rglob("*.py")
    if EXAMPLE in path.read_text(encoding="utf-8")
)


@pytest.mark.parametrize("name", MODULES)
def test_examples_run(name):
    """Functions are looked up one by one: their wrappers, which check shapes, belong to no module for doctest."""
    module, finder = importlib.import_module(name), doctest.DocTestFinder(exclude_empty=True)
    runner, output = doctest.DocTestRunner(verbose=False, optionflags=doctest.ELLIPSIS), []
    for own, thing in list(vars(module).items()):
        if getattr(thing, "__module__", None) == name and (inspect.isclass(thing) or inspect.isroutine(thing)):
            for example in finder.find(thing, own, module=False, globs=dict(vars(module))):
                runner.run(example, out=output.append)
    assert runner.tries and not runner.failures, "".join(output)


def public(body):
    """Functions and classes among the statements of a module or a class, those that begin with _ left out."""
    return [
        node for node in body if isinstance(node, (ast.FunctionDef, ast.ClassDef)) and not node.name.startswith("_")
    ]


def lacking(room):
    """What a room's public modules lack: an example of each function and class, and a sentence on each method.

    Torch describes ``extra_repr``.
    """
    for path in (path for path in files_of(room) if not path.name.startswith("_")):
        for node in public(ast.parse(path.read_text(encoding="utf-8")).body):
            if EXAMPLE not in (ast.get_docstring(node) or ""):
                yield f"{path.stem}.{node.name}"
            for method in public(node.body) if isinstance(node, ast.ClassDef) else ():
                if not ast.get_docstring(method) and method.name != "extra_repr":
                    yield f"{path.stem}.{node.name}.{method.name}"


@pytest.mark.parametrize("room", WITH_EXAMPLES)
def test_each_public_function_and_class_has_an_example(room):
    assert not list(lacking(room))


def named_in(page):
    """Modules, classes and functions whose docstrings a page of the reference takes in."""
    return re.findall(r"^\.\. auto\w+:: (\S+)", (REFERENCE / f"{page}.rst").read_text(encoding="utf-8"), re.MULTILINE)


@pytest.mark.parametrize("room", WITH_EXAMPLES)
def test_the_reference_has_each_public_module_once(room):
    public = [path.stem for path in files_of(room) if not path.name.startswith("_")]
    assert sorted(named_in(room)) == sorted(
        [f"recbole_sheaf.{room}", *(f"recbole_sheaf.{room}.{name}" for name in public)]
    )


def test_the_reference_has_each_model():
    assert named_in("models") == [f"{module}.{name}" for name, module in MODELS.items()]


def test_the_reference_has_each_name_to_be_used_from_python():
    names = {
        name for package in (recbole_sheaf, embeddings) for name in (f"{package.__name__}.{n}" for n in package.__all__)
    }
    assert names <= set(named_in("python"))


def test_examples_of_the_reference_run(workplace):
    for page in REFERENCE.glob("*.rst"):
        assert not doctest.testfile(str(page), module_relative=False, encoding="utf-8").failed, page
