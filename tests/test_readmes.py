"""Both READMEs do as printed, as far as a moment can tell: commands are understood, files are there, figures agree."""

import importlib
import re
import shlex

import pytest

from recbole_sheaf.cli import COMMANDS
from recbole_sheaf.cli.run import read_settings
from recbole_sheaf.experiments.grid import read_experiment
from tests.conftest import REPOSITORY

READMES = ("README.md", "README.ru.md")
WITH_SETTINGS = {"run", "compare", "tune"}  # what they do not know themselves is a setting
WITHOUT_PARSER = {"models", "table", "classify"}  # they build theirs on the way


def text_of(readme):
    return (REPOSITORY / readme).read_text(encoding="utf-8")


def blocks(readme, language):
    return re.findall(rf"```{language}\n(.*?)```", text_of(readme), flags=re.DOTALL)


def commands(readme):
    """The arguments of each command, as a shell would split them."""
    lines = "".join(blocks(readme, "bash")).replace("\\\n", " ").splitlines()
    split = [shlex.split(line, comments=True) for line in lines]
    run = [["run", *words[2:]] for words in split if words[:2] == ["python", "run_recbole_sheaf.py"]]
    named = [words[words.index("recbole-sheaf") + 1 :] for words in split if "recbole-sheaf" in words]
    return [*run, *named]


@pytest.mark.parametrize("readme", READMES)
def test_commands_are_understood(readme):
    found = [words for words in commands(readme) if words[0] not in WITHOUT_PARSER and "--help" not in words]
    assert len(found) > 15
    for name, *arguments in found:
        module = importlib.import_module(f"recbole_sheaf.cli.{name.replace('-', '_')}")
        others = module.parser().parse_known_args(arguments)[1]
        assert name in COMMANDS
        assert read_settings(others) if others and name in WITH_SETTINGS else not others


@pytest.mark.parametrize("readme", READMES)
def test_the_results_of_the_example_are_asked_for_within_one_ablation(readme, tmp_path):
    """Users are compared within one ablation, and the experiment has two."""
    (text,) = (block for block in blocks(readme, "yaml") if "experiment.yaml" in block)
    (tmp_path / "experiment.yaml").write_text(text, encoding="utf-8")
    labels = {run.ablation for run in read_experiment(tmp_path / "experiment.yaml", {}).runs}
    (asked,) = (words for words in commands(readme) if words[0] == "results")
    assert len(labels) > 1 and asked[asked.index("--ablation") + 1] in labels


@pytest.mark.parametrize("readme", READMES)
def test_files_that_are_linked_are_there(readme):
    linked = {link for link in re.findall(r"\]\(([^)#]+)\)", text_of(readme)) if "://" not in link}
    assert linked and not [link for link in linked if not (REPOSITORY / link).exists()]


def test_figures_are_the_same_in_both():
    english, russian = (re.findall(r"(?<![\w.])\.\d{3,4}(?!\d)", text_of(readme)) for readme in READMES)
    assert sorted(english) == sorted(russian) and len(english) > 50
