"""The Markdown pages are true where a program can tell: links, anchors, names of code, YAML, commands and settings."""

import argparse
import ast
import functools
import importlib
import re
import shlex
from collections import Counter
from urllib.parse import unquote

import pytest
import yaml

from recbole_sheaf.cli import COMMANDS
from recbole_sheaf.experiments.grid import read_experiment
from recbole_sheaf.plugin.registration import MODELS
from recbole_sheaf.settings.config import known_keys
from recbole_sheaf.settings.settings_files import read_yaml
from tests.conftest import REPOSITORY

PAGES = sorted(
    str(path.relative_to(REPOSITORY))
    for pattern in ("*.md", "docs/**/*.md", "benchmarks/*.md")
    for path in REPOSITORY.glob(pattern)
)
READMES = ("README.md", "README.ru.md")
TRANSLATED = {page: page.replace("/ru/", "/") for page in PAGES if page.startswith("docs/ru/")} | {
    "README.ru.md": "README.md",
    "docs/ru/contributing.md": "CONTRIBUTING.md",
    "docs/ru/results.md": "docs/results/README.md",
}
FIGURE = re.compile(r"(?<![\w.])\.\d{3,4}(?!\d)")
WITH_SETTINGS = {"audit", "run", "compare", "tune"}  # what follows as --key=value is a setting there
FENCE = re.compile(r"^( *)```(\w*)[^\n]*\n(.*?)^\1```", re.DOTALL | re.MULTILINE)
SPAN = re.compile(r"`([^`]+)`")


@functools.cache
def text(page):
    return (REPOSITORY / page).read_text(encoding="utf-8")


def prose(page):
    """A page without its blocks of code."""
    return FENCE.sub("", text(page))


def blocks(page, language):
    return [match[3] for match in FENCE.finditer(text(page)) if match[2] == language]


@functools.cache
def anchors(page):
    """Names of a page's headings as GitHub and our site make them; a name that comes again is numbered."""
    names = {}
    for heading in re.findall(r"^#{1,6} +(.*)$", prose(page), re.MULTILINE):
        shown = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", heading).strip()
        name = re.sub(r"[^\w\- ]", "", shown.lower()).replace(" ", "-")
        names[name] = names.get(name, 0) + 1
    return {name if not k else f"{name}-{k}" for name, count in names.items() for k in range(count)}


def links(page):
    """What a page links to within the repository: the words, the path and the anchor."""
    for words, target in re.findall(r"\[([^\[\]]*)\]\(([^()\s]+)\)", prose(page)):
        if not re.match(r"\w+:", target):
            path, _, anchor = unquote(target).partition("#")
            yield words, (REPOSITORY / page).parent.joinpath(path).resolve() if path else REPOSITORY / page, anchor


@functools.cache
def defined(path):
    """Functions, classes and constants of a Python file, those of its classes too."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    names = {node.name for node in ast.walk(tree) if isinstance(node, (ast.FunctionDef, ast.ClassDef))}
    assigned = [node for node in tree.body if isinstance(node, (ast.Assign, ast.AnnAssign))]
    targets = [target for node in assigned for target in getattr(node, "targets", [getattr(node, "target", None)])]
    return names | {target.id for target in targets if isinstance(target, ast.Name)}


class Caught(BaseException):
    """A parser on its way to read a command line."""


@functools.cache
def parser_of(command):
    def catch(parser, *_):
        raise Caught(parser)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(argparse.ArgumentParser, "parse_known_args", catch)
        with pytest.raises(Caught) as caught:
            importlib.import_module(f"recbole_sheaf.cli.{command.replace('-', '_')}").main([])
    return caught.value.args[0]


@functools.cache
def options_of(command):
    return {name for action in parser_of(command)._actions for name in action.option_strings}


@functools.cache
def settings():
    return frozenset().union(*(known_keys(model, "ml-100k") for model in (*MODELS, "LightGCN", "BPR", "EASE")))


def command_line(words):
    """Our command in a line and its arguments, up to what the shell would hand to another."""
    for start, word in enumerate(words):
        name = words[start + 1] if word == "recbole-sheaf" and start + 1 < len(words) else "run"
        if word == "recbole-sheaf" or word.endswith("run_recbole_sheaf.py"):
            rest = words[start + 1 + (word == "recbole-sheaf") :]
            ends = [i for i, other in enumerate(rest) if other in ("&&", "|", ";", ">", "&")]
            return name, rest[: ends[0]] if ends else rest
    return None


def printed_commands(page):
    """Commands in the page's blocks for a shell, each whole."""
    for block in blocks(page, "bash"):
        for line in block.replace("\\\n", " ").splitlines():
            if "recbole" in line and (found := command_line(shlex.split(line, comments=True))):
                yield found


def unknown_options(command, arguments):
    """Options of a command line that are neither the command's nor, where it takes some, settings."""
    given = [argument.partition("=")[0] for argument in arguments if argument.startswith("--")]
    allowed = options_of(command) | ({f"--{key}" for key in settings()} if command in WITH_SETTINGS else set())
    return [name for name in given if name not in allowed]


def test_pages_are_found():
    assert {"README.md", "README.ru.md", "docs/mathematics.md", "docs/results/softmax.md"} <= set(PAGES)


@pytest.mark.parametrize("page", PAGES)
def test_links_lead_to_files_and_headings(page):
    broken = [str(path) for _, path, _ in links(page) if not path.exists()]
    assert broken == []
    headless = [
        f"{path.name}#{anchor}"
        for _, path, anchor in links(page)
        if anchor and anchor not in anchors(str(path.relative_to(REPOSITORY)))
    ]
    assert headless == []


@pytest.mark.parametrize("page", PAGES)
def test_code_is_where_the_page_says(page):
    named = [(words.strip("`"), path) for words, path, _ in links(page) if re.fullmatch(r"`\w+`", words)]
    assert [f"{name} in {path}" for name, path in named if path.suffix == ".py" and name not in defined(path)] == []


@pytest.mark.parametrize("page", PAGES)
def test_yaml_is_yaml(page):
    for block in blocks(page, "yaml"):
        assert yaml.safe_load(block), block


@pytest.mark.parametrize("page", PAGES)
def test_printed_commands_are_understood(page, capsys):
    for command, arguments in printed_commands(page):
        if command == "--help" or "--help" in arguments:
            continue
        assert command in COMMANDS, f"recbole-sheaf {command}"
        assert unknown_options(command, arguments) == [], f"recbole-sheaf {command} {shlex.join(arguments)}"
        try:
            parser_of(command).parse_known_args(arguments)
        except SystemExit:
            pytest.fail(f"recbole-sheaf {command} {shlex.join(arguments)}: {capsys.readouterr().err}")


@pytest.mark.parametrize("page", PAGES)
def test_commands_in_a_sentence_have_these_options(page):
    for span in SPAN.findall(prose(page)):
        words = span.split()
        if words[:1] == ["recbole-sheaf"] and len(words) > 1 and words[1] != "COMMAND" and words[1][0] != "-":
            assert words[1] in COMMANDS, span
            assert unknown_options(words[1], words[2:]) == [], span


@pytest.mark.parametrize("page", PAGES)
def test_an_option_in_a_sentence_belongs_to_a_command_or_is_a_setting(page):
    known = {f"--{key}" for key in settings()}.union({"--key"}, *map(options_of, COMMANDS))
    given = [span.split()[0].partition("=")[0] for span in SPAN.findall(prose(page)) if re.match("--[a-z]", span)]
    assert [name for name in given if name not in known] == []


def test_every_model_is_explained_with_settings_that_it_has():
    sections = dict(re.findall(r"^### (\w+)\n(.*?)(?=^##)", text("docs/models.md"), re.DOTALL | re.MULTILINE))
    assert set(sections) == set(MODELS)
    for model, section in sections.items():
        listed = re.search(r"^- Settings: (.*?)(?=^- |\Z)", section, re.DOTALL | re.MULTILINE)[1]
        names = set(re.findall(r"`([a-z]\w+)`", re.sub(r"\([^()]*\)", "", listed)))
        known = {"softmax_temperature", *read_yaml(REPOSITORY / "properties" / "model" / f"{model}.yaml")}
        if model == "ContentKNN":  # it has no settings of its own
            known |= set(read_yaml(REPOSITORY / "properties" / "overall.yaml"))
        assert len(names) >= 3 and names <= known
        assert f"(../properties/model/{model}.yaml)" in section and "```math" in section
        assert f"(../recbole_sheaf/models/{model.lower()}.py)" in section


@pytest.mark.parametrize("page", ["docs/experiments.md", "docs/ru/experiments.md"])
def test_results_of_the_example_are_asked_for_within_one_ablation(page, tmp_path):
    """Users are compared within one ablation, and the example's experiment has two."""
    (example,) = (block for block in blocks(page, "yaml") if "experiment.yaml" in block)
    (tmp_path / "experiment.yaml").write_text(example, encoding="utf-8")
    labels = {run.ablation for run in read_experiment(tmp_path / "experiment.yaml", {}).runs}
    (asked,) = (arguments for _, arguments in printed_commands(page) if arguments[:1] == ["results.duckdb"])
    assert len(labels) > 1 and asked[asked.index("--ablation") + 1] in labels


@pytest.mark.parametrize("page", READMES)
def test_a_picture_stands_in_the_language_of_its_page(page):
    ending = ".ru.svg" if page == "README.ru.md" else ".svg"
    assert re.findall(r"!\[[^\]]+\]\(([^)]+)\)", text(page)) == [f"docs/pictures/sheaf{ending}"]


def test_figures_of_both_readmes_are_the_same():
    english, russian = (sorted(FIGURE.findall(text(page))) for page in READMES)
    assert english == russian and len(english) > 30


def test_every_russian_page_has_an_english_one_that_it_links_to():
    assert len(TRANSLATED) > 9 and set(TRANSLATED.values()) <= set(PAGES)
    for russian, english in TRANSLATED.items():
        assert (REPOSITORY / english).resolve() in {path for _, path, _ in links(russian)}, russian


@pytest.mark.parametrize("russian, english", TRANSLATED.items())
def test_a_russian_page_has_the_figures_and_commands_of_its_english_one(russian, english):
    assert not Counter(FIGURE.findall(text(russian))) - Counter(FIGURE.findall(text(english)))
    commands = [shlex.join([name, *words]) for name, words in printed_commands(english)]
    ours = [shlex.join([name, *words]) for name, words in printed_commands(russian) if "--help" not in (name, *words)]
    assert [command for command in ours if command not in commands] == []


def test_results_have_the_same_figures_in_both_languages():
    english, russian = (sorted(FIGURE.findall(text(page))) for page in ("docs/results/README.md", "docs/ru/results.md"))
    assert english == russian and len(english) > 50
