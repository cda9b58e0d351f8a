"""A wrong environment is refused at import in one sentence."""

import os
import subprocess
import sys

import pytest

from recbole_sheaf import environment
from recbole_sheaf.errors import EnvironmentMismatch


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
