"""Examples in docstrings run, and each public function and class of the mathematics, layers and metrics has one."""

import ast
import doctest
import importlib
import inspect

import pytest

from tests.test_rooms import PACKAGE, files_of

WITH_EXAMPLES = ("sheaf", "layers", "evaluation")
EXAMPLE = ">>> "
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
