"""A wrong environment is refused at import in one sentence."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from recbole_sheaf import environment
from recbole_sheaf.errors import EnvironmentMismatch
from tests.conftest import REPOSITORY


def test_the_tested_set_passes():
    environment.check_environment()


def releases(monkeypatch, **other):
    """Pretend that some distributions have other releases; None is an absent one."""
    installed = environment.metadata.version

    def version(name):
        found = other.get(name, "") or (None if name in other else installed(name))
        if found is None:
            raise environment.metadata.PackageNotFoundError(name)
        return found

    monkeypatch.setattr(environment.metadata, "version", version)


@pytest.mark.parametrize(
    "name, found, sentence",
    [
        (
            "pandas",
            "1.5.3",
            "pandas 1.5.3 is installed, pandas>=3 is needed (RecBole is mended for its col",
        ),
        ("numpy", "1.26.4", "numpy 1.26.4 is installed, numpy>=2 is needed (today's pandas, SciPy and PyTorch are bu"),
        ("torch", "2.5.1", "torch 2.5.1 is installed, torch>=2.6 is needed (checkpoints cannot be loaded safely)"),
    ],
)
def test_a_wrong_release_is_named_with_the_reason_and_the_remedy(monkeypatch, name, found, sentence):
    releases(monkeypatch, **{name: found})
    with pytest.raises(EnvironmentMismatch) as error:
        environment.check_environment()
    assert sentence in str(error.value)
    (bound,) = (bound for bound in environment.BOUNDS if bound.distribution == name)
    assert str(error.value).endswith(f'Type: pip install "{name}{bound.versions}"')
    assert isinstance(error.value, ImportError)


@pytest.mark.parametrize("found, said", [(None, "recbole is not installed"), ("1.2.0", "recbole 1.2.0 is installed")])
def test_recbole_is_brought_without_what_it_asks_for(monkeypatch, found, said):
    """Its own list wants a Ray that has no wheel beyond Python 3.11."""
    releases(monkeypatch, recbole=found, scipy="1.12.0")
    with pytest.raises(EnvironmentMismatch, match=f"{said}, recbole==1.2.1 is needed") as error:
        environment.check_environment()
    assert str(error.value).endswith('Type: pip install --no-deps "recbole==1.2.1" && pip install "scipy>=1.13"')


def python_without(folder, gone, *arguments):
    """What a process does that sees this environment but for some names of its site-packages; ``*`` is all of them."""
    places = [Path(place) for place in sys.path if place.endswith("-packages")]
    for entry in (entry for place in places for entry in place.iterdir()):
        if not gone & {entry.name, entry.name.partition("-")[0], "*"} and not (folder / entry.name).exists():
            (folder / entry.name).symlink_to(entry)
    paths = {"PYTHONPATH": os.pathsep.join(map(str, [REPOSITORY, folder])), "PYTHONDONTWRITEBYTECODE": "1"}
    command = [sys.executable, "-S", "-W", "ignore", *arguments]  # -S: no site-packages but this folder
    return subprocess.run(command, env={**os.environ, **paths}, capture_output=True, text=True, cwd=folder)


@pytest.mark.parametrize(
    "gone, arguments, said, code",
    [
        ("torch", "run", 'torch is not installed, torch>=2.6 is needed. Type: pip install "torch>=2.6"', 1),
        ("duckdb", "results x.duckdb", 'duckdb is not installed, duckdb>=1.2 is needed. Type: pip install "duckdb', 2),
        ("*", "--help", "recbole is not installed, recbole==1.2.1 is needed; numpy is not installed, numpy>=2 is", 1),
        ("packaging", "--help", 'environment: packaging is not installed. Type: pip install "packaging"', 1),
    ],
)
def test_a_command_in_half_an_environment_ends_in_a_sentence(tmp_path, gone, arguments, said, code):
    done = python_without(tmp_path, {gone}, "-m", "recbole_sheaf", *arguments.split())
    (sentence,) = done.stderr.splitlines()
    assert sentence.startswith("EnvironmentMismatch: recbole_sheaf cannot work correctly in this") and said in sentence
    assert done.returncode == code and not done.stdout


def test_a_package_that_is_listed_and_not_there_asks_for_the_set_up_of_the_readme(tmp_path):
    (file,) = [file for place in sys.path for file in Path(place).glob("duckdb/__init__.py")]
    done = python_without(tmp_path, {file.parent.name}, "-c", "import duckdb")
    assert "No module named 'duckdb'" in done.stderr.splitlines()[-1], "it is hidden"
    (listed,) = file.parent.parent.glob("duckdb-*.dist-info")
    (tmp_path / listed.name).symlink_to(listed)
    done = python_without(tmp_path, {"duckdb"}, "-m", "recbole_sheaf", "results", "x.duckdb")
    (sentence,) = done.stderr.splitlines()
    assert "duckdb cannot be imported (No module named 'duckdb'). Set it up anew" in sentence
    assert sentence.endswith(environment.SET_UP) and done.returncode == 2
    assert environment.SET_UP in (REPOSITORY / "README.md").read_text(encoding="utf-8")


def test_a_script_ends_in_the_sentence_too_and_other_errors_keep_their_trace(tmp_path):
    done = python_without(tmp_path, {"torch"}, "-c", "import recbole_sheaf")
    assert done.stderr.startswith("EnvironmentMismatch: ") and done.returncode == 1
    caught = "try:\n    import recbole_sheaf\nexcept ImportError:\n    1 / 0"
    done = python_without(tmp_path, {"torch"}, "-c", caught)
    assert done.stderr.startswith("Traceback") and "ZeroDivisionError" in done.stderr


@pytest.mark.parametrize("version", [(3, 9, 18), (3, 10, 13), (3, 15, 0)])
def test_a_python_outside_of_the_range_is_named(monkeypatch, version):
    monkeypatch.setattr(environment.sys, "version_info", version)
    named = ".".join(map(str, version))
    with pytest.raises(EnvironmentMismatch, match=f"this is Python {named}, recbole_sheaf runs on Python 3.11 to 3.14"):
        environment.check_environment()


@pytest.mark.parametrize(
    "before, given, expected",
    [
        ("", {}, "10000"),
        ("", {"GOMP_SPINCOUNT": "7"}, "7"),
        ("", {"OMP_WAIT_POLICY": "active"}, "None"),
        ("import sys, types; sys.modules['torch'] = types.ModuleType('torch'); ", {}, "None"),
    ],
)
def test_threads_wait_asleep_unless_the_user_says_otherwise(before, given, expected):
    code = (
        f"{before}import os; from recbole_sheaf.environment import let_threads_sleep; "
        "let_threads_sleep(); print(os.environ.get('GOMP_SPINCOUNT'))"
    )
    kept = {key: value for key, value in os.environ.items() if key not in ("GOMP_SPINCOUNT", "OMP_WAIT_POLICY")}
    command = [sys.executable, "-W", "ignore", "-c", code]
    done = subprocess.run(command, env={**kept, **given}, capture_output=True, text=True, check=True)
    assert done.stdout.split()[-1] == expected
