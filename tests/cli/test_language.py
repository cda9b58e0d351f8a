"""Help in two languages: which one is spoken, that the catalogue is whole, and that argparse is left as it was."""

import argparse
import ast
import gettext
import inspect
import io
import re
import subprocess
import sys

import polib
import pytest

from recbole_sheaf import cli
from recbole_sheaf.cli.language import LOCALES, MESSAGES, VARIABLE, help_language, paragraphs, words
from recbole_sheaf.cli.parser import MORE_FILES, Parser

CATALOGUE = {entry.msgid: entry.msgstr for entry in polib.pofile(str(MESSAGES / "ru.po"))}
OVERALL = [cli.USAGE, cli.HEADING, cli.MORE, *cli.COMMANDS.values()]
# Python 3.9 calls "options" so, and gives no other language the word before an argument's name.
OTHER_RELEASES = {"options", "optional arguments", "argument %(argument_name)s: %(message)s"}
# What argparse tells the programmer, or says of kinds of arguments that no command has.
NOT_OURS = re.compile(r"subparser|unknown parser|group|callable|__call__|invalid argument for|dest=|mutually|conflict"
                      r"|must start|can't open|with mode|one of the|not allowed|expected %s|subcommands"
                      r"|default\)s|%\(heading\)s:$|deprecated|s: warning|show program's version")  # fmt: skip


@pytest.fixture
def speaks(monkeypatch):
    """Makes the reader's language what is given, by the variable alone."""
    for name in LOCALES:
        monkeypatch.delenv(name, raising=False)
    return lambda language: monkeypatch.setenv(VARIABLE, language)


@pytest.fixture
def parser_of(speaks, monkeypatch):
    """The parser that ``--help`` of a command has built in a language."""
    seen = []
    monkeypatch.setattr(Parser, "print_help", lambda self, file=None: seen.append(self))

    def build(command, language):
        speaks(language)
        with pytest.raises(SystemExit):
            cli.main([command, "--help"])
        return seen[-1]

    return build


def texts_of(parser):
    """Description, epilog and helps, paragraph by paragraph."""
    whole = [parser.description, parser.epilog, *(action.help or "" for action in parser._actions)]
    return [part for text in whole for part in paragraphs(text) if part.strip()]


def is_code(text):
    """Whether all of it is commands or settings, with nothing beside them."""
    code = r"(  (recbole-sheaf|python|torchrun|duckdb|search_space:).*(\n    .*)*\n?)+"
    return bool(re.fullmatch(code, text)) and not re.search(r"\S {2,}\S|# ", text)


def fixed(text):
    """What has to be the same in every language: places, options, names of files, addresses."""
    pattern = r"%\(\w+\)\w|%[sr]|(?<!\w)--?[a-z][\w-]*(?:=[\w.:\[\]/]+)?|<\w+>|\{\w+\}|(?<!\w)\.[a-z]{2,}|\w+://\S+\w"
    return sorted(set(re.findall(pattern, text)))


def argparse_words():
    calls = (node for node in ast.walk(ast.parse(inspect.getsource(argparse))) if isinstance(node, ast.Call))
    ours = (call for call in calls if isinstance(call.func, ast.Name) and call.func.id in ("_", "ngettext"))
    return {argument.value for call in ours for argument in call.args if isinstance(argument, ast.Constant)}


@pytest.mark.parametrize(
    "environment, language",
    [
        ({}, "en"),
        ({"LANG": "ru_RU.UTF-8"}, "ru"),
        ({"LANG": "ru"}, "ru"),
        ({"LANG": "run_XX.UTF-8"}, "en"),
        ({"LANG": "de_DE.UTF-8"}, "en"),
        ({"LC_MESSAGES": "ru_RU", "LANG": "de_DE"}, "ru"),
        ({"LC_MESSAGES": "de_DE", "LANG": "ru_RU"}, "en"),
        ({"LC_ALL": "C", "LC_MESSAGES": "ru_RU", "LANG": "ru_RU"}, "en"),
        ({"LC_ALL": "", "LANG": "ru_RU"}, "ru"),
        ({VARIABLE: "en", "LC_ALL": "ru_RU"}, "en"),
        ({VARIABLE: "ru", "LC_ALL": "C"}, "ru"),
        ({VARIABLE: "", "LANG": "ru_RU"}, "ru"),
    ],
)
def test_the_variable_decides_or_else_the_locale(environment, language, monkeypatch):
    for name in (VARIABLE, *LOCALES):
        monkeypatch.delenv(name, raising=False)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    assert help_language() == language


@pytest.mark.parametrize("command", [["--help"], [], ["nothing"], ["models"], ["export", "--help"], ["table", "x"]])
def test_another_language_is_refused_in_one_sentence(command, speaks, capsys):
    speaks("fr")
    assert cli.main(command) == 2
    said = capsys.readouterr()
    assert said.err.count("\n") == 1 and "RECBOLE_SHEAF_LANG is 'fr', expected en or ru" in said.err and not said.out


@pytest.mark.parametrize("command", cli.COMMANDS)
def test_every_text_of_a_command_has_its_russian(command, parser_of):
    english, russian = texts_of(parser_of(command, "en")), texts_of(parser_of(command, "ru"))
    missing = [text for text in english if text not in CATALOGUE and not is_code(text)]
    assert not missing, "\n".join(["put into ru.po:", *(str(polib.POEntry(msgid=text)) for text in missing)])
    assert russian == [CATALOGUE.get(text, text) for text in english]


def test_the_overall_usage_is_translated(speaks, capsys):
    assert not set(OVERALL) - set(CATALOGUE)
    speaks("ru")
    assert cli.main(["--help"]) == 0
    said = capsys.readouterr().out
    assert said.startswith("использование: recbole-sheaf КОМАНДА")
    assert all(CATALOGUE[text] in said and text not in said for text in OVERALL)
    assert all(f"\n  {name} " in said for name in cli.COMMANDS)
    assert max(map(len, said.splitlines())) <= 100


def test_words_of_argparse_are_translated():
    missing = {text for text in argparse_words() - set(CATALOGUE) if not NOT_OURS.search(text)}
    assert not missing and MORE_FILES in CATALOGUE


def test_no_entry_is_idle_empty_or_vague(parser_of):
    said = {text for command in cli.COMMANDS for text in texts_of(parser_of(command, "en"))}
    assert not set(CATALOGUE) - said - {*OVERALL, MORE_FILES} - argparse_words() - OTHER_RELEASES
    assert all(re.search("[а-яё]", text) for text in CATALOGUE.values())
    assert not any(entry.fuzzy or entry.obsolete for entry in polib.pofile(str(MESSAGES / "ru.po")))


@pytest.mark.parametrize("english", CATALOGUE)
def test_places_options_and_names_are_the_same_in_both(english):
    assert fixed(CATALOGUE[english]) == fixed(english)


def test_examples_stay_the_commands_that_they_are():
    for english, russian in CATALOGUE.items():
        left = {line.partition("# ")[0].rstrip() for line in re.findall(r"^ .*?(?= {3,}|$)", english, re.MULTILINE)}
        lines = "\n".join(["", *russian.splitlines(), ""])
        for code in left - {"", "  a folder"}:
            if code.startswith("  ") and not code.startswith("       "):
                assert f"\n{code}" in lines, code


@pytest.mark.parametrize("command", cli.COMMANDS)
@pytest.mark.parametrize("columns", ["80", "100"])
def test_russian_help_has_the_same_options_and_is_no_wider(command, columns, speaks, monkeypatch, capsys):
    monkeypatch.setenv("COLUMNS", columns)
    said = {}
    for language in ("en", "ru"):
        speaks(language)
        with pytest.raises(SystemExit) as end:
            cli.main([command, "--help"])
        assert end.value.code == 0
        said[language] = capsys.readouterr().out
    assert said["en"].startswith("usage: ") and not re.search("[а-яё]", said["en"])
    assert said["ru"].startswith("использование: ")
    assert re.search(r"\n(позиционные аргументы|параметры):\n", said["ru"])
    assert "показать эту справку и выйти" in said["ru"]
    options = [re.findall(r"^  (-[\w-]+(?:, -[\w-]+)*)", said[language], re.MULTILINE) for language in ("en", "ru")]
    assert options[0] == options[1] != []
    english = said["en"].splitlines()
    same = {line.strip() for line in english}
    widest = {line[:60]: len(line) for line in english}  # commands with a remark beside them
    long = [line for line in said["ru"].splitlines() if len(line) > 100 and line.strip() not in same]
    assert not [line for line in long if len(line) > widest.get(line[:60], 0)]


def test_help_keeps_the_width_of_the_screen_where_argparse_wraps(speaks, monkeypatch, capsys):
    speaks("ru")
    monkeypatch.setenv("COLUMNS", "80")
    with pytest.raises(SystemExit):
        cli.main(["evaluate", "--help"])
    assert max(map(len, capsys.readouterr().out.splitlines())) <= 80


@pytest.mark.parametrize(
    "arguments, said",
    [
        (["export"], "recbole-sheaf export: ошибка: не указаны обязательные аргументы: checkpoint, --to\n"),
        (["table", "a", "--b"], "recbole-sheaf table: ошибка: неизвестные аргументы: --b\n"),
        (["report", "x", "--to"], "--to: требуется значение\n"),
        (["recommend", "x", "--k=a"], "--k: значение 'a' не годится для типа int\n"),
        (["recommend", "x", "--seen=a"], "недопустимое значение 'a' (допустимы: 'masked', 'at_test', 'kept')\n"),
    ],
)
def test_argparse_refuses_in_russian_and_is_left_as_it_was(arguments, said, speaks, capsys):
    speaks("ru")
    with pytest.raises(SystemExit) as end:
        cli.main(arguments)
    assert end.value.code == 2
    refusal = capsys.readouterr().err
    assert refusal.startswith("использование: ") and refusal.endswith(said)
    assert (vars(argparse)["_"], vars(argparse)["ngettext"]) == (gettext.gettext, gettext.ngettext)


def test_our_own_refusals_are_english_in_either_language(speaks, capsys):
    speaks("ru")
    assert cli.main(["results", "a.duckdb", "--output=a.duckdb"]) == 2
    assert "--output is the store a.duckdb itself; give another file" in capsys.readouterr().err


@pytest.mark.parametrize("arguments", [["--help"], ["export", "--help"]])
def test_an_output_without_the_letters_is_one_sentence(arguments, speaks, monkeypatch, capsys):
    speaks("ru")
    screen = io.TextIOWrapper(io.BytesIO(), encoding="latin-1", write_through=True)
    monkeypatch.setattr(sys, "stdout", screen)
    assert cli.main(arguments) == 2
    said = capsys.readouterr().err
    assert said.count("\n") == 1 and "help in 'ru' cannot be written in latin-1" in said and "PYTHONIOENCODING" in said
    assert screen.buffer.getvalue() == b""


@pytest.mark.parametrize("language", ["en", "ru"])
def test_a_text_that_a_catalogue_lacks_and_no_text_at_all_stay_as_they_are(language):
    assert words(language).gettext("a text that nobody says") == "a text that nobody says"


def test_nothing_is_said_of_an_empty_text(speaks):
    """The catalogue's own header is the text of the empty key."""
    speaks("ru")
    assert Parser(prog="x", description="").description == ""


@pytest.mark.parametrize(
    "text, parts",
    [
        ("", [""]),
        ("one line", ["one line"]),
        ("a\nb\n", ["a\nb", "\n", ""]),
        ("head\n  one\n    two\n\nend\n", ["head", "\n", "  one\n    two", "\n\n", "end", "\n", ""]),
        ("prose\n  code\nprose\n", ["prose\n  code\nprose", "\n", ""]),
        ("head\n" + "  x\n" * 5000, ["head", "\n", ("  x\n" * 5000)[:-1], "\n", ""]),  # in no time at all
    ],
)
def test_a_text_is_taken_apart_and_put_together(text, parts):
    assert paragraphs(text) == parts and "".join(parts) == text


@pytest.mark.parametrize("language, read", [("en", False), ("ru", True)])
def test_the_catalogue_is_read_only_where_it_is_asked_for_and_nothing_heavy_is(language, read, speaks):
    speaks(language)
    code = "import sys; from recbole_sheaf.cli import main; main(['--help']); print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    modules = set(done.stdout.splitlines()[-1].split())
    assert ("polib" in modules) == read and not modules & {"torch", "recbole", "numpy", "pandas", "ray", "dgl"}
