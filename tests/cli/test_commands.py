"""The command line: exit codes, one sentence on the standard error, tables and files."""

import csv
import json
import signal
import subprocess
import sys
import time
from contextlib import redirect_stderr
from importlib import metadata

import pytest

from recbole_sheaf.cli import COMMANDS, main
from recbole_sheaf.cli.run import read_settings
from recbole_sheaf.errors import ConfigError
from tests.conftest import TOY, Terminal


def watched(arguments):
    """What somebody at a terminal sees of a command that succeeds."""
    with redirect_stderr(Terminal()) as screen:
        assert main(arguments) == 0
    return screen.getvalue()


def _arguments(data_path, **settings):
    given = {**TOY, "data_path": data_path, "cache_dir": data_path.parent / "cache", **settings}
    return [f"--{key}={value}" for key, value in given.items()]


def test_several_models_end_in_one_table(toy, workplace, capsys):
    code = main(["run", "--models=Pop,BPR", "--dataset=toy", "--table_file=out/table", *_arguments(toy)])
    assert code == 0
    printed = capsys.readouterr().out
    assert "| Pop" in printed and "| BPR" in printed
    rows = list(csv.DictReader((workplace / "out" / "table.csv").open()))
    assert [row["model"] for row in rows] == ["Pop", "BPR"]
    assert (workplace / "out" / "table.md").read_text().startswith("| model")


def test_models_that_were_trained_have_their_table_when_a_later_one_fails(toy, workplace, capsys):
    assert main(["run", "--models=BPR,NeuMF", "--dataset=toy", *_arguments(toy, use_pretrain=True)]) == 2
    said = capsys.readouterr()
    assert "| BPR" in said.out and "NeuMF" not in said.out
    assert "RecBole's NeuMF cannot be built" in said.err
    assert list((workplace / "results").glob("toy-*.csv"))


@pytest.mark.parametrize(
    "files, arguments, ours",
    [
        ([], [], True),
        (["bars"], [], False),
        (["bars", "none"], [], True),
        (["none", "bars"], [], False),
        (["bars"], ["--show_progress=False"], True),
        (["none"], ["--show_progress=True"], False),
        (["none", "model"], [], False),
    ],
)
def test_our_bar_stays_away_where_recboles_are_asked_for(toy, workplace, files, arguments, ours):
    """The last file wins, and the command line over the files; the line of a run that ended stays."""
    texts = {"bars": "show_progress: True", "none": "show_progress: False"}
    texts["model"] = "model_settings: {BPR: {show_progress: True}}"
    for name, text in texts.items():
        (workplace / f"{name}.yaml").write_text(text)
    given = [f"--config_files={' '.join(f'{name}.yaml' for name in files)}"] if files else []
    settings = [setting for setting in _arguments(toy, epochs=1) if "show_progress" not in setting]
    seen = watched(["run", "--model=BPR", "--dataset=toy", *settings, *given, *arguments])
    assert "BPR on toy, seed 2020: valid" in seen
    assert (" left" in seen) == ours


@pytest.mark.parametrize("command, unit", [("compare", "run"), ("tune", "trial")])
@pytest.mark.parametrize("recboles", [False, True])
def test_a_grid_and_a_search_leave_the_screen_to_recboles_bars_too(toy, workplace, command, unit, recboles):
    of_all = f"show_progress: {recboles}"
    (workplace / "grid.yaml").write_text(f"datasets: [toy]\nmodels: [BPR]\nseeds: [1]\nsettings: {{{of_all}}}\n")
    (workplace / "settings.yaml").write_text(of_all)
    arguments = {
        "compare": ["grid.yaml"],
        "tune": ["--models=BPR", "--dataset=toy", "--trials=1", "--config_files=settings.yaml"],
    }
    settings = [setting for setting in _arguments(toy, epochs=1) if "show_progress" not in setting]
    seen = watched([command, *arguments[command], *settings])
    assert "BPR on toy" in seen
    assert (f"{unit}/s" in seen or f"s/{unit}" in seen) != recboles
    assert ("Train " in seen) == recboles


def test_one_run_writes_json(toy, workplace):
    assert main(["run", "--model=MMSheaf", "--dataset=toy", "--result_file=run.json", *_arguments(toy)]) == 0
    assert json.loads((workplace / "run.json").read_text())["config"]["train_batch_size"] == 64


@pytest.mark.parametrize(
    "arguments, message",
    [
        (["--model=MMShef"], "did you mean 'MMSheaf'"),
        (["--model=BPR", "--embeding_size=8"], "did you mean 'embedding_size'"),
        (["--model=BPR", "--models=Pop"], "--model and --models are both given"),
        (["--model=BPR", "embedding_size=8"], "write settings as --key=value"),
        (["--model=BPR", "--config_files=absent.yaml"], "there is no settings file absent.yaml"),
        (["--model=MMSheaf", "--modalities=[imag]"], "imag"),
    ],
)
def test_refusals_are_one_sentence_and_exit_code_2(toy, capsys, arguments, message):
    assert main(["run", "--dataset=toy", *_arguments(toy), *arguments]) == 2
    error = capsys.readouterr().err.strip().splitlines()[-1]
    assert message in error and "Error: " in error


def test_an_absent_dataset_names_the_layout_and_the_option(toy, capsys):
    assert main(["run", "--model=BPR", "--dataset=no-such-thing", *_arguments(toy)]) == 2
    assert "--data_path" in capsys.readouterr().err


def test_an_absent_checkpoint_is_refused(workplace, capsys):
    assert main(["evaluate", "absent.pth"]) == 2
    assert "there is no checkpoint absent.pth" in capsys.readouterr().err


def test_values_are_read_as_yaml():
    settings = read_settings(["--a=1e-3", "--b=[1, 2]", "--c=True", "--d=None", "--e=../x", "--f={RS: [0.8, 0.2]}"])
    assert settings == {"a": 0.001, "b": [1, 2], "c": True, "d": None, "e": "../x", "f": {"RS": [0.8, 0.2]}}


def test_a_key_given_twice_is_refused():
    assert read_settings(["--a=1", "--a=1"]) == {"a": 1}
    with pytest.raises(ConfigError, match="--a is given twice, as 1 and 2"):
        read_settings(["--a=1", "--a=2"])


def test_help_lists_every_command(capsys):
    assert main(["--help"]) == 0
    printed = capsys.readouterr().out
    assert all(name in printed for name in COMMANDS)
    assert main(["no-such-command"]) == 2


def test_version_is_the_packages(capsys):
    assert main(["--version"]) == 0
    assert capsys.readouterr().out == f"recbole-sheaf {metadata.version('recbole-sheaf')}\n"


def test_models_lists_ours_and_recboles(capsys):
    assert main(["models"]) == 0
    printed = capsys.readouterr().out
    assert "MMSheaf" in printed and "LightGCN" in printed


def test_evaluate_prints_a_table_or_json(toy, workplace, capsys):
    assert main(["run", "--model=MMSheaf", "--dataset=toy", "--result_file=run.json", *_arguments(toy)]) == 0
    run = json.loads((workplace / "run.json").read_text())
    capsys.readouterr()
    assert main(["evaluate", run["checkpoint"], "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["test"] == run["test"]
    assert main(["evaluate", run["checkpoint"]]) == 0
    printed = capsys.readouterr().out
    assert printed.startswith("MMSheaf on toy, seed ") and f"{run['test']['recall@20']:.4g}" in printed
    assert len(printed.splitlines()) < 50


@pytest.mark.parametrize(
    "number, code", [(signal.SIGINT, 130), pytest.param(signal.SIGTERM, 143, marks=pytest.mark.slow)]
)
def test_a_signal_ends_a_run_in_a_sentence_and_the_same_command_goes_on(toy, workplace, number, code):
    arguments = ["run", "--model=BPR", "--dataset=toy", *_arguments(toy, epochs=2000, stopping_step=2000)]
    script = "import sys; from recbole_sheaf.cli import main; sys.exit(main(sys.argv[1:]))"
    command = [sys.executable, "-c", script, *arguments]
    process = subprocess.Popen(
        command,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # a shell's background jobs ignore it
    )
    deadline = time.monotonic() + 120
    while not list(workplace.glob("saved/*/state.pth")) and process.poll() is None and time.monotonic() < deadline:
        time.sleep(0.1)
    process.send_signal(number)
    said = process.communicate()[1]
    assert process.returncode == code, said
    assert said.strip().splitlines()[-1].startswith("interrupted; what is finished is kept") and "Traceback" not in said
    assert list(workplace.glob("saved/*/state.pth"))


@pytest.mark.parametrize("option", ["--checkpoint_dir=file/x", "--table_file=file/x", "--result_file=file/x"])
def test_a_place_that_cannot_be_written_is_one_sentence(toy, workplace, capsys, option):
    (workplace / "file").write_text("")
    assert main(["run", "--model=BPR", "--dataset=toy", *_arguments(toy), option]) == 2
    assert "file" in capsys.readouterr().err.strip().splitlines()[-1]


@pytest.mark.parametrize("name", ["log", "saved", "log_tensorboard"])
def test_a_file_where_recbole_writes_a_folder_is_one_sentence(toy, workplace, capsys, name):
    (workplace / name).write_text("")
    assert main(["run", "--model=BPR", "--dataset=toy", *_arguments(toy)]) == 2
    assert name in capsys.readouterr().err.strip().splitlines()[-1]


def test_the_package_is_the_command_too():
    command = [sys.executable, "-m", "recbole_sheaf"]
    done = subprocess.run([*command, "--version"], capture_output=True, text=True, check=True)
    assert done.stdout == f"recbole-sheaf {metadata.version('recbole-sheaf')}\n"
    refused = subprocess.run([*command, "trian"], capture_output=True, text=True)
    assert refused.returncode == 2 and "recbole-sheaf: there is no command 'trian'" in refused.stderr
