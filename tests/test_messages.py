"""Messages of the library name parameters and settings; what to type is said by commands alone."""

import ast
import re
from pathlib import Path

import pytest

import recbole_sheaf

PACKAGE = Path(recbole_sheaf.__file__).parent
LIBRARY = sorted(path for path in PACKAGE.rglob("*.py") if "cli" not in path.relative_to(PACKAGE).parts)
FLAG = re.compile(r"(?<![\w-])--[a-z{][\w{}-]*")
OF_PIP = {"--no-deps", "--require-hashes"}


def flags_in(source):
    """Flags in the texts of a module, f-strings with their pieces in braces; docstrings may show commands."""
    tree = ast.parse(source)
    documented = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)
    docstrings = {id(node.body[0].value) for node in ast.walk(tree) if isinstance(node, documented) and _says(node)}
    texts = []
    for node in ast.walk(tree):
        if isinstance(node, ast.JoinedStr):
            texts.append("".join(part.value if isinstance(part, ast.Constant) else "{}" for part in node.values))
        elif isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in docstrings:
            texts.append(node.value)
    return {flag for text in texts for flag in FLAG.findall(text)} - OF_PIP


def _says(node):
    return node.body and isinstance(node.body[0], ast.Expr) and isinstance(node.body[0].value, ast.Constant)


def test_there_is_a_library():
    assert len(LIBRARY) > 100


@pytest.mark.parametrize("path", LIBRARY, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_no_message_names_a_flag(path):
    assert not flags_in(path.read_text(encoding="utf-8")), "name the parameter, as data_path=...: cli/refusals.py"


@pytest.mark.parametrize(
    ("source", "found"),
    [
        ('raise E(f"give --{key}=COLUMN")', {"--{}"}),
        ('raise E("leave --layers out")', {"--layers"}),
        ('"""A command: run --model=BPR."""', set()),
        ('def f():\n    """As --model."""', set()),
        ('raise E("give model=..., see 3--4 or --- of it")', set()),
    ],
)
def test_a_flag_is_found_wherever_a_message_has_one(source, found):
    assert flags_in(source) == found
